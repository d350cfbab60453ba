"""The DNS server over real sockets: UDP and TCP, whole and broken clients."""

from __future__ import annotations

import io
import shutil
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
import trio.testing

import simstack.dns.server as server_module
from dropshot.address import SocketAddr
from dropshot.logging import BunyanForm, Log, log_to
from dropshot.server import AddressInUse, ListenError
from simstack.dns.config import AAAA, NS, SRV, A, DnsConfigParams, DnsConfigZone, Srv
from simstack.dns.server import serve_dns
from simstack.dns.store import DnsStore
from simstack.dns.wire import MessageBuffer, framed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ZONE = DnsConfigZone(
    "control-plane.oxide.internal",
    {
        "@": (NS("ns1.control-plane.oxide.internal"),),
        "ns1": (AAAA("::1"),),
        "_nexus._tcp": (SRV(Srv(0, 0, 12221, "n.host.control-plane.oxide.internal")),),
        "n.host": (AAAA("::1"),),
        "www": (A("127.0.0.1"),),
        "many": tuple(AAAA(f"fd00::{number:x}") for number in range(1000)),
    },
)
TIMEOUT_S = 10


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def quiet_log() -> Log:
    return log_to(io.StringIO(), form=BunyanForm())


@pytest.fixture(params=["127.0.0.1", "::1"])
def loopback(request: pytest.FixtureRequest) -> SocketAddr:
    if request.param == "::1" and not has_ipv6():
        pytest.skip("this host has no IPv6")
    return SocketAddr(request.param, 0)


@pytest.fixture
def store() -> DnsStore:
    store = DnsStore()
    store.apply(DnsConfigParams(1, 1, datetime(2026, 1, 1, tzinfo=UTC), (ZONE,)))
    return store


@asynccontextmanager
async def serving(store: DnsStore, bind: SocketAddr) -> AsyncIterator[SocketAddr]:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_dns, store, bind, log=quiet_log()))
            nursery.cancel_scope.cancel()


def family(address: SocketAddr) -> socket.AddressFamily:
    return socket.AF_INET6 if address.is_ipv6 else socket.AF_INET


async def ask_udp(address: SocketAddr, query: bytes) -> bytes:
    with trio.socket.socket(family(address), socket.SOCK_DGRAM) as client:
        await client.connect((address.host, address.port))
        await client.send(query)
        return await client.recv(65535)


async def connect(address: SocketAddr) -> trio.SocketStream:
    return await trio.open_tcp_stream(address.host, address.port)


async def receive(stream: trio.abc.ReceiveStream, count: int) -> list[bytes]:
    buffer = MessageBuffer()
    messages: list[bytes] = []
    while len(messages) < count:
        data = await stream.receive_some(65536)
        assert data, "the server closed the connection"
        buffer.receive(bytes(data))
        while (message := buffer.next_message()) is not None:
            messages.append(message)
    return messages


def query(name: str, kind: str, **more: int) -> dns.message.QueryMessage:
    return dns.message.make_query(f"{name}.{ZONE.zone_name}", kind, **more)  # type: ignore[arg-type]


async def test_udp_and_tcp_answer_alike_on_one_port(store: DnsStore, loopback: SocketAddr) -> None:
    async with serving(store, loopback) as address:
        asked = query("_nexus._tcp", "SRV")
        by_udp = dns.message.from_wire(await ask_udp(address, asked.to_wire()))
        async with await connect(address) as stream:
            await stream.send_all(framed(asked.to_wire()))
            by_tcp = dns.message.from_wire((await receive(stream, 1))[0])
    assert by_udp == by_tcp
    assert asked.is_response(by_udp)
    assert by_udp.answer[0].to_text().endswith("IN SRV 0 0 12221 n.host.control-plane.oxide.internal.")
    assert by_udp.additional[0].to_text() == "n.host.control-plane.oxide.internal. 0 IN AAAA ::1"


async def test_what_udp_truncates_tcp_gives_whole(store: DnsStore, loopback: SocketAddr) -> None:
    async with serving(store, loopback) as address:
        asked = query("many", "AAAA", use_edns=0, payload=1232)
        truncated = await ask_udp(address, asked.to_wire())
        async with await connect(address) as stream:
            await stream.send_all(framed(asked.to_wire()))
            whole = dns.message.from_wire((await receive(stream, 1))[0])
    assert len(truncated) <= 1232
    assert dns.message.from_wire(truncated).flags & dns.flags.TC
    assert len(whole.answer[0]) == 1000


async def test_queries_on_one_connection_are_answered_in_order(store: DnsStore, loopback: SocketAddr) -> None:
    queries = [query(name, "A") for name in ("www", "nope", "www", "n.host")] * 50
    stream_bytes = b"".join(framed(asked.to_wire()) for asked in queries)
    async with (
        serving(store, loopback) as address,
        await connect(address) as stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(stream.send_all, stream_bytes)
        answers = [dns.message.from_wire(message) for message in await receive(stream, len(queries))]
    assert [answer.id for answer in answers] == [asked.id for asked in queries]
    assert [answer.rcode() for answer in answers[:2]] == [dns.rcode.NOERROR, dns.rcode.NXDOMAIN]


async def test_a_query_may_arrive_byte_by_byte(store: DnsStore, loopback: SocketAddr) -> None:
    async with serving(store, loopback) as address, await connect(address) as stream:
        for byte in framed(query("www", "A").to_wire()):
            await stream.send_all(bytes([byte]))
        assert dns.message.from_wire((await receive(stream, 1))[0]).rcode() == dns.rcode.NOERROR


async def test_a_new_generation_is_served_at_once(store: DnsStore, loopback: SocketAddr) -> None:
    async with serving(store, loopback) as address:
        store.apply(DnsConfigParams(2, 2, datetime(2026, 1, 2, tzinfo=UTC), ()))
        reply = dns.message.from_wire(await ask_udp(address, query("www", "A").to_wire()))
    assert reply.rcode() == dns.rcode.SERVFAIL


async def test_broken_clients_harm_nobody(store: DnsStore, loopback: SocketAddr) -> None:
    async with serving(store, loopback) as address:
        with trio.socket.socket(family(address), socket.SOCK_DGRAM) as client:
            await client.connect((address.host, address.port))
            for packet in (b"", b"x", b"\xff" * 4096, b"\0" * 9000):
                await client.send(packet)
        for begin in (b"", b"\0", b"\xff\xff", framed(b""), framed(b"garbage") * 3, b"GET / HTTP/1.1\r\n\r\n"):
            async with await connect(address) as stream:
                if begin:
                    await stream.send_all(begin)
        async with await connect(address) as reset:
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await reset.send_all(framed(query("many", "AAAA").to_wire()) * 20)
        assert await ask_udp(address, query("www", "A").to_wire())
        async with await connect(address) as stream:
            await stream.send_all(framed(query("www", "A").to_wire()))
            await receive(stream, 1)


async def test_a_bug_costs_one_answer(store: DnsStore, loopback: SocketAddr, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(store, loopback) as address:
        with monkeypatch.context() as broken:
            broken.setattr(server_module, "respond", lambda packet, **_: 1 / 0)
            reply = dns.message.from_wire(await ask_udp(address, query("www", "A").to_wire()))
            assert reply.rcode() == dns.rcode.SERVFAIL
        reply = dns.message.from_wire(await ask_udp(address, query("www", "A").to_wire()))
    assert reply.rcode() == dns.rcode.NOERROR


async def test_what_gets_no_answer_ends_a_connection(store: DnsStore, loopback: SocketAddr) -> None:
    async with serving(store, loopback) as address, await connect(address) as stream:
        await stream.send_all(framed(b"short"))
        assert await stream.receive_some() == b""


async def test_an_idle_connection_is_closed(
    store: DnsStore, loopback: SocketAddr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TCP_IDLE_TIMEOUT_S", 0.05)
    async with serving(store, loopback) as address:
        for begin in (b"", b"\0"):
            async with await connect(address) as stream:
                if begin:
                    await stream.send_all(begin)
                assert await stream.receive_some() == b""


async def test_a_client_that_does_not_read_is_let_go(
    store: DnsStore, loopback: SocketAddr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TCP_SEND_TIMEOUT_S", 0.05)
    more_than_buffers_hold = framed(query("many", "AAAA").to_wire()) * 100_000
    async with serving(store, loopback) as address, await connect(address) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(more_than_buffers_hold)


async def test_one_connection_too_many_closes_the_one_that_asked_nothing_for_longest(
    store: DnsStore, loopback: SocketAddr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_TCP_CONNECTIONS", 3)
    asked = framed(query("www", "A").to_wire())
    async with serving(store, loopback) as address, AsyncExitStack() as streams:

        async def ask_again(stream: trio.SocketStream) -> None:
            await stream.send_all(asked)
            await receive(stream, 1)

        async def connect_and_ask() -> trio.SocketStream:
            stream = await streams.enter_async_context(await connect(address))
            await ask_again(stream)
            return stream

        first, second, third = [await connect_and_ask() for _ in range(3)]
        await ask_again(first)
        fourth = await connect_and_ask()
        assert await second.receive_some() == b""
        fifth = await connect_and_ask()
        assert await third.receive_some() == b""
        for stream in (first, fourth, fifth):
            await ask_again(stream)
        for stream in (first, fourth):  # what goes by itself makes room
            await stream.send_eof()
            assert await stream.receive_some() == b""
        await connect_and_ask()
        await ask_again(fifth)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_port_taken_for_either_protocol_is_one_clear_error(
    store: DnsStore, loopback: SocketAddr, kind: socket.SocketKind
) -> None:
    with socket.socket(family(loopback), kind) as holder:
        holder.bind((loopback.host, 0))
        if kind is socket.SOCK_STREAM:
            holder.listen()
        taken = SocketAddr(loopback.host, holder.getsockname()[1])
        with pytest.raises(AddressInUse) as caught:
            await serve_dns(store, taken, log=quiet_log())
    assert str(taken) in str(caught.value)


async def test_port_0_finds_a_port_that_is_free_for_both(
    store: DnsStore, loopback: SocketAddr, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server_module._socket
    refused: list[SocketAddr] = []

    def refuse_twice(bind: SocketAddr, kind: socket.SocketKind) -> socket.socket:
        if kind is socket.SOCK_DGRAM and len(refused) < 2:
            refused.append(bind)
            raise AddressInUse("taken")
        return real(bind, kind)

    monkeypatch.setattr(server_module, "_socket", refuse_twice)
    async with serving(store, loopback) as address:
        assert await ask_udp(address, query("www", "A").to_wire())
    assert len(refused) == 2


async def test_an_address_that_is_not_ours_is_one_clear_error(store: DnsStore) -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:0 \(TCP\)"):
        await serve_dns(store, SocketAddr("192.0.2.1", 0), log=quiet_log())


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_dig_understands_the_answers(store: DnsStore, loopback: SocketAddr, transport: str) -> None:
    if shutil.which("dig") is None:
        pytest.skip("dig is not installed; the tests above ask the same with dnspython")
    async with serving(store, loopback) as address:
        server = [f"@{address.host}", "-p", str(address.port), transport]
        names = ["_nexus._tcp.control-plane.oxide.internal", "SRV", "+short"]
        short = await trio.run_process(["dig", *server, *names], capture_stdout=True)
        missing = await trio.run_process(
            ["dig", *server, f"nope.{ZONE.zone_name}", "A", "+norecurse"], capture_stdout=True
        )
    assert short.stdout == b"0 0 12221 n.host.control-plane.oxide.internal.\n"
    assert b"status: NXDOMAIN" in missing.stdout
    assert b"SOA" in missing.stdout
    assert b"WARNING" not in missing.stdout
