"""Looking services up on trio: against the simulated DNS server, and against servers that misbehave."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from dropshot.address import SocketAddr
from dropshot.logging import BunyanForm, log_to
from nexus.clients import dns_lookup
from nexus.clients.dns_lookup import lookup_service
from nexus.clients.resolver import NameNotFound, ResolverError, ServerRefused
from simstack.dns.config import SRV, A, DnsConfigParams, DnsConfigZone, Srv
from simstack.dns.server import serve_dns
from simstack.dns.store import DnsStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Address = tuple[object, ...]

ZONE_NAME = "control-plane.oxide.internal"
ANY_PORT = SocketAddr("127.0.0.1", 0)
NOBODY = SocketAddr("127.0.0.1", 1)


def service(*ports: int) -> tuple[SRV, ...]:
    return tuple(SRV(Srv(0, 0, port, f"h{port}.host.{ZONE_NAME}")) for port in ports)


ZONE = DnsConfigZone(
    ZONE_NAME,
    {
        "_few._tcp": service(1001, 1002),
        "_many._tcp": service(*range(2000, 2300)),
        "_lost._tcp": service(9),
        **{f"h{port}.host": (A("127.0.0.2"),) for port in (1001, 1002, *range(2000, 2300))},
    },
)


@asynccontextmanager
async def dns_server() -> AsyncIterator[SocketAddr]:
    store = DnsStore()
    store.apply(DnsConfigParams(1, 1, datetime(2026, 1, 1, tzinfo=UTC), (ZONE,)))
    log = log_to(io.StringIO(), form=BunyanForm())
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_dns, store, ANY_PORT, log=log))
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def udp_server(
    answer: Callable[[trio.socket.SocketType, bytes, Address], Awaitable[None]],
) -> AsyncIterator[SocketAddr]:
    async def serve(udp: trio.socket.SocketType) -> None:
        while True:
            packet, client = await udp.recvfrom(65_535)
            await answer(udp, packet, client)

    with trio.fail_after(10), trio.socket.socket(type=trio.socket.SOCK_DGRAM) as udp:
        await udp.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, udp)
            yield SocketAddr(*udp.getsockname())
            nursery.cancel_scope.cancel()


async def test_a_service_that_fits_in_a_packet() -> None:
    async with dns_server() as server:
        found = await lookup_service(f"_few._tcp.{ZONE_NAME}", servers=[server])
    assert found == [SocketAddr("127.0.0.2", 1001), SocketAddr("127.0.0.2", 1002)]


async def test_a_service_that_needs_tcp() -> None:
    async with dns_server() as server:
        found = await lookup_service(f"_many._tcp.{ZONE_NAME}", servers=[server])
    assert len(found) == 300


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (f"_none._tcp.{ZONE_NAME}", NameNotFound),
        (f"_lost._tcp.{ZONE_NAME}", NameNotFound),
        ("_few._tcp.elsewhere.test", ServerRefused),
    ],
)
async def test_an_answer_without_addresses(name: str, error: type[ResolverError]) -> None:
    async with dns_server() as server:
        with pytest.raises(error):
            await lookup_service(name, servers=[server, NOBODY])


async def test_the_next_server_is_asked_when_one_is_not_there() -> None:
    async with dns_server() as server:
        assert len(await lookup_service(f"_few._tcp.{ZONE_NAME}", servers=[NOBODY, server])) == 2


async def test_no_server_is_there() -> None:
    with trio.fail_after(10), pytest.raises(ResolverError, match=r"^DNS server 127\.0\.0\.1:1: Connection refused$"):
        await lookup_service(f"_few._tcp.{ZONE_NAME}", servers=[NOBODY])


async def test_a_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_lookup, "ATTEMPT_TIMEOUT_S", 0.02)
    asked = 0

    async def count(udp: trio.socket.SocketType, packet: bytes, client: Address) -> None:
        nonlocal asked
        asked += 1

    async with udp_server(count) as server:
        with pytest.raises(ResolverError, match="no answer"):
            await lookup_service(f"_few._tcp.{ZONE_NAME}", servers=[server])
    assert asked == dns_lookup.ATTEMPTS


async def test_answers_to_others_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_lookup, "ATTEMPT_TIMEOUT_S", 0.02)

    async def answer_another(udp: trio.socket.SocketType, packet: bytes, client: Address) -> None:
        forged = bytes([packet[0] ^ 0xFF, packet[1], packet[2] | 0x80]) + packet[3:]
        await udp.sendto(forged, client)
        await udp.sendto(b"?", client)

    async with udp_server(answer_another) as server:
        with pytest.raises(ResolverError, match="no answer"):
            await lookup_service(f"_few._tcp.{ZONE_NAME}", servers=[server])
