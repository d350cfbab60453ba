"""The DNS tasks over the real database and simulated DNS servers: one by one, and all together under the driver."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import structlog
import trio
from psycopg.types.json import Jsonb
from saga_lab import KeptLog

from dropshot.address import SocketAddr
from dropshot.logging import BunyanForm, log_to
from nexus.api.types import Completed
from nexus.background.activator import Watch
from nexus.background.driver import Driver, utc_now
from nexus.background.tasks.dns_config import DnsConfigTask
from nexus.background.tasks.dns_propagation import DnsPropagationTask
from nexus.background.tasks.dns_servers import DnsServersTask
from nexus.background.wiring import build_tasks
from nexus.config import BackgroundTasksConfig, ConsoleConfig
from nexus.db import dns as dns_reads
from nexus.db.pool import Pool, open_pool
from nexus.dns_types import AAAA, NS, SRV, A, DnsConfigParams, DnsConfigZone, DnsRecord, Srv
from nexus.ids import NexusId
from nexus.quiesce.gate import QuiesceGate
from nexus.saga.action import ActionRegistry
from nexus.saga.ids import SecId
from nexus.saga.sec import Sec
from nexus.saga.store import InMemorySecStore
from omdb.render.task_details import task_details
from simstack.dns import config as served
from simstack.dns.http import serve_dns_http
from simstack.dns.server import serve_dns
from simstack.dns.store import DnsStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

LOG = structlog.get_logger()
ANY_PORT = SocketAddr("127.0.0.1", 0)
INTERNAL = "control-plane.oxide.internal"
EXTERNAL = "oxide-dev.test"
CREATED = datetime(2026, 1, 2, tzinfo=UTC)
WWW = A("127.0.0.1")


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Pool]:
    with trio.fail_after(20):
        async with open_pool(url, log=LOG) as pool:
            yield pool


class DnsTables:
    """Writes DNS versions as whoever changes DNS does."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._zones: dict[str, UUID] = {}

    async def add_version(self, group: str, version: int, *, created: datetime = CREATED) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO dns_version VALUES (%s, %s, %s, 'test', 'test')", (group, version, created)
            )

    async def add_zone(self, group: str, zone_name: str) -> None:
        self._zones[group] = uuid4()
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO dns_zone VALUES (%s, %s, %s, now())", (self._zones[group], group, zone_name)
            )

    async def add_name(
        self, group: str, name: str, *records: DnsRecord, added: int, removed: int | None = None
    ) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO dns_name VALUES (%s, %s, %s, %s, %s)",
                (self._zones[group], name, added, removed, Jsonb([*records])),
            )


async def test_reading_the_newest_version(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_reads, "NAMES_PER_PAGE", 2)
    records: dict[str, tuple[DnsRecord, ...]] = {
        "@": (NS(f"ns1.{EXTERNAL}"),),
        "_a._tcp": (SRV(Srv(0, 0, 1, f"www.{EXTERNAL}")),),
        "both": (A("127.0.0.1"), AAAA("::1")),
        "changed": (A("127.0.0.2"),),
        "www": (WWW,),
    }
    async with database(database_url) as pool:
        tables = DnsTables(pool)
        await tables.add_zone("external", EXTERNAL)
        await tables.add_zone("internal", INTERNAL)
        for version in (1, 2, 3):
            await tables.add_version("external", version)
        await tables.add_name("internal", "elsewhere", WWW, added=1)
        await tables.add_name("external", "gone", WWW, added=1, removed=3)
        await tables.add_name("external", "not-yet", WWW, added=4)
        await tables.add_name("external", "changed", WWW, added=1, removed=2)
        for name, of_name in records.items():
            await tables.add_name("external", name, *of_name, added=2)
        async with pool.connection() as connection:
            found = await dns_reads.read_newest_dns_config(connection, "external")
    assert found == DnsConfigParams(3, 3, CREATED, (DnsConfigZone(EXTERNAL, records),))


async def test_config_task(database_url: str) -> None:
    config: Watch[DnsConfigParams | None] = Watch(None)
    changes = config.subscribe()
    async with database(database_url) as pool:
        task, tables = DnsConfigTask("internal", pool=pool, config=config), DnsTables(pool)
        assert await task.activate() == {"error": "the database has no version of the internal DNS configuration"}
        await tables.add_zone("internal", INTERNAL)
        await tables.add_version("internal", 1)
        assert await task.activate() == {"generation": 1}
        assert changes.take()
        assert config.value == DnsConfigParams(1, 1, CREATED, (DnsConfigZone(INTERNAL, {}),))
        assert await task.activate() == {"generation": 1}
        assert not changes.take(), "the same again is no change"
        await tables.add_version("internal", 2)
        assert await task.activate() == {"generation": 2}
        assert changes.take()
        await tables.add_name("internal", "www", WWW, added=2)
        assert "generation 2 in the database differs" in (await task.activate())["error"]  # type: ignore[operator]
        config.send(DnsConfigParams(9, 9, CREATED, ()))
        assert "generation (2) is older than the one already known here (9)" in str(await task.activate())


class Servers:
    """DNS servers of one group, each with its HTTP address."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.stores: dict[SocketAddr, DnsStore] = {}

    async def add(self) -> SocketAddr:
        store = DnsStore()
        log = log_to(io.StringIO(), form=BunyanForm())
        address: SocketAddr = await self._nursery.start(partial(serve_dns_http, store, ANY_PORT, log=log))
        self.stores[address] = store
        return address


@asynccontextmanager
async def dns_servers(count: int) -> AsyncIterator[Servers]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            servers = Servers(nursery)
            for _ in range(count):
                await servers.add()
            yield servers
            nursery.cancel_scope.cancel()


def propagation(
    config: DnsConfigParams | None,
    servers: tuple[SocketAddr, ...] | None,
    *,
    at_once: int = 5,
    log: KeptLog | None = None,
) -> DnsPropagationTask:
    return DnsPropagationTask(
        config=Watch(config), servers=Watch(servers), max_concurrent_updates=at_once, log=log or LOG
    )


def external(generation: int) -> DnsConfigParams:
    return DnsConfigParams(generation, generation, CREATED, (DnsConfigZone(EXTERNAL, {"www": (WWW,)}),))


async def test_propagation_waits_for_both_of_its_inputs() -> None:
    assert await propagation(None, None).activate() == {"error": "no config nor servers"}
    assert await propagation(None, ()).activate() == {"error": "no config"}
    assert await propagation(external(1), None).activate() == {"error": "no servers"}
    assert await propagation(external(1), ()).activate() == {"generation": 1, "server_results": {}}


async def test_propagation_reaches_every_server_that_can_be_reached() -> None:
    nobody = SocketAddr("127.0.0.1", 1)
    log = KeptLog()
    async with dns_servers(7) as servers:
        (ahead, *others) = sorted(servers.stores)
        servers.stores[ahead].apply(served.DnsConfigParams(8, 8, CREATED, ()))
        details = await propagation(external(7), (*servers.stores, nobody), at_once=2, log=log).activate()
        assert [servers.stores[server].config.generation for server in others] == [7] * 6
        assert msgspec.to_builtins(servers.stores[others[0]].config.zones) == msgspec.to_builtins(external(7).zones)
    assert details["generation"] == 7
    results: Any = details["server_results"]
    assert list(results) == [str(server) for server in sorted([*servers.stores, nobody])]
    assert [results[str(server)] for server in others] == [{"Ok": None}] * 6
    assert results[str(ahead)] == {
        "Err": f"failed to propagate DNS generation 7 to server {ahead}: 409 BadUpdateGeneration: unsupported attempt"
        " to update to generation 7 while at generation 8"
    }
    assert results[str(nobody)] == {
        "Err": f"failed to propagate DNS generation 7 to server {nobody}: {nobody}: Connection refused"
    }
    assert {(level, event, fields["server"]) for level, event, fields in log.lines} == {
        ("info", "DNS server has a newer generation", str(ahead)),
        ("warning", "DNS server not brought up to date", str(nobody)),
    }


async def test_propagation_does_at_most_so_many_at_once() -> None:
    open_now = most = 0
    enough = trio.Event()

    async def hold(stream: trio.SocketStream) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        if most == 3:
            enough.set()
        await enough.wait()
        open_now -= 1

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            addresses = []
            for _ in range(9):
                listeners = await nursery.start(partial(trio.serve_tcp, hold, 0, host="127.0.0.1"))
                addresses.append(SocketAddr(*listeners[0].socket.getsockname()))
            details: Any = await propagation(external(1), tuple(addresses), at_once=3).activate()
            nursery.cancel_scope.cancel()
    assert most == 3
    assert all("Err" in result for result in details["server_results"].values())


@asynccontextmanager
async def internal_dns(*services: tuple[str, SocketAddr]) -> AsyncIterator[tuple[DnsStore, SocketAddr]]:
    store = DnsStore()
    publish(store, *services, generation=1)
    log = log_to(io.StringIO(), form=BunyanForm())
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            yield store, await nursery.start(partial(serve_dns, store, ANY_PORT, log=log))
            nursery.cancel_scope.cancel()


def publish(store: DnsStore, *services: tuple[str, SocketAddr], generation: int) -> None:
    records: dict[str, tuple[served.DnsRecord, ...]] = {}
    for number, (kind, address) in enumerate(services):
        service = served.SRV(served.Srv(0, 0, address.port, f"h{number}.host.{INTERNAL}"))
        records[f"_{kind}._tcp"] = (*records.get(f"_{kind}._tcp", ()), service)
        records[f"h{number}.host"] = (served.A(address.host),)
    zone = served.DnsConfigZone(INTERNAL, records)
    store.apply(served.DnsConfigParams(generation, generation, CREATED, (zone,)))


async def test_servers_task() -> None:
    one, two = SocketAddr("127.0.0.1", 5353), SocketAddr("127.0.0.2", 80)
    servers: Watch[tuple[SocketAddr, ...] | None] = Watch(None)
    changes = servers.subscribe()
    async with internal_dns(("external-dns", two), ("external-dns", one), ("nameservice", one)) as (store, address):
        task = DnsServersTask("external", internal_dns=[address], servers=servers)
        assert await task.activate() == {"addresses": ["127.0.0.1:5353", "127.0.0.2:80"]}
        assert changes.take()
        publish(store, ("external-dns", one), ("external-dns", two), generation=2)
        await task.activate()
        assert not changes.take(), "another order is no change"
        publish(store, ("external-dns", two), generation=3)
        assert await task.activate() == {"addresses": ["127.0.0.2:80"]}
        assert changes.take()
        publish(store, generation=4)
        details = await task.activate()
        assert str(details["error"]).startswith("failed to read list of DNS servers: ")
        assert servers.value == (two,)
        assert not changes.take()


def details(driver: Driver, name: str) -> Any:
    last = driver.status(name).last
    return last.details.details if isinstance(last, Completed) else None


async def test_a_new_version_reaches_the_servers_by_itself(database_url: str) -> None:
    """From an empty database: config, servers and propagation find each other, then one request is enough."""
    async with database(database_url) as pool, dns_servers(2) as servers:
        http = sorted(servers.stores)
        async with internal_dns(*(("external-dns", address) for address in http)) as (_, dns_address):
            sec = Sec(SecId(uuid4()), store=InMemorySecStore(), registry=ActionRegistry([]), log=LOG)
            tasks = build_tasks(
                BackgroundTasksConfig(),
                console=ConsoleConfig(),
                pool=pool,
                sec=sec,
                quiesce=QuiesceGate(NexusId(sec.sec_id), now=utc_now),
                nexus_id=NexusId(sec.sec_id),
                internal_dns=[dns_address],
                log=LOG,
            )
            driver = Driver(tasks, log=LOG)
            async with trio.open_nursery() as nursery:
                await nursery.start(sec.run)
                await nursery.start(driver.run)
                tables = DnsTables(pool)
                await tables.add_zone("external", EXTERNAL)
                for version in (1, 2):
                    await tables.add_name("external", f"silo{version}.sys", WWW, added=version)
                    await tables.add_version("external", version)
                    driver.activate(["dns_config_external"])
                    for store in servers.stores.values():
                        await store.wait_generation(version)
                assert {*servers.stores[http[0]].config.zones[0].records} == {"silo1.sys", "silo2.sys"}
                while details(driver, "dns_propagation_external") != {
                    "generation": 2,
                    "server_results": {str(address): {"Ok": None} for address in http},
                }:
                    await trio.lowlevel.checkpoint()
                assert "no version" in details(driver, "dns_config_internal")["error"]
                for name in driver.statuses():
                    while details(driver, name) is None:
                        await trio.lowlevel.checkpoint()
                    assert task_details(name, details(driver, name)), "omdb can read what every task says"
                nursery.cancel_scope.cancel()
