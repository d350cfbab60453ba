"""The start-up graph of a stack: one task a service, each awaiting what it needs as a `Promise`.

`simstack.stack` owns the nurseries and says in which order they open and close; this module knows what each service
needs, and tells the board how it fares.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import trio

from dropshot.address import SocketAddr
from simstack import rack_setup
from simstack.cluster_config import ClusterConfig
from simstack.errors import SimstackError
from simstack.facts import DatabaseFacts, DnsFacts, GatewayFacts, SiloFacts, StackFacts
from simstack.log_files import LAUNCHER_LOG, gateway_log, log_path, nexus_log
from simstack.loopback import IPV4
from simstack.nexus_config import write_nexus_config
from simstack.nexus_fleet import NexusFleet
from simstack.postgres import PostgresCluster, open_postgres
from simstack.promise import Promise
from simstack.services import ServiceBoard
from simstack.shipped import schema_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dropshot.logging import Log
    from simstack.dns.config import DnsConfigParams
    from simstack.dns.store import DnsStore
    from simstack.gateway.sp_sim import SpSimConfig
    from simstack.process import Child
    from simstack.progress import Progress
    from simstack.stack_plan import PlannedNexus, ReservePort, StackPlan
    from simstack.watchdog import Watchdog

POSTGRES = "postgres"
INTERNAL_DNS = "internal DNS"
EXTERNAL_DNS = "external DNS"

SEED_GENERATION = 1
SILO_GENERATION = 2
"""What external DNS serves once rack initialization has been propagated: the silo's name."""


@dataclass(frozen=True, slots=True)
class DnsServer:
    store: DnsStore
    address: SocketAddr
    http_address: SocketAddr


class Startup:
    """The services of one stack on their way up. Each `run_…` is a task that lasts as long as its service."""

    def __init__(
        self,
        plan: StackPlan,
        directory: Path,
        watchdog: Watchdog,
        progress: Progress,
        *,
        reserve_port: ReservePort,
    ) -> None:
        self._plan = plan
        self._directory = directory
        self._watchdog = watchdog
        self._progress = progress
        self._log: Log | None = None
        self._log_files = ExitStack()
        self.board = ServiceBoard(progress)
        self.database: Promise[PostgresCluster] = Promise()
        self.internal_dns: Promise[DnsServer] = Promise()
        self.external_dns: Promise[DnsServer] = Promise()
        self.gateways: tuple[Promise[SocketAddr], ...] = tuple(Promise() for _ in rack_setup.SWITCH_SLOTS)
        self.fleet = NexusFleet(plan, directory, reserve_port, watchdog=watchdog, board=self.board, progress=progress)

    def announce(self) -> None:
        """Put every service on the board, in the order in which people read them."""
        self.board.announce(POSTGRES, "postgres", awaits="its first answer")
        for name in (INTERNAL_DNS, EXTERNAL_DNS):
            self.board.announce(name, "dns", awaits="its port")
            self.board.announce(f"{name} HTTP", "http", awaits="its port")
        for slot in rack_setup.SWITCH_SLOTS:
            self.board.announce(switch_name(slot), "http", awaits="its port")
        for nexus in self.fleet.nexuses:
            self.board.announce(nexus.name, "nexus", awaits="its interpreter")
        if self._plan.host == IPV4:
            self._progress.note("note: this host has no IPv6, so all listens on 127.0.0.1 that else would on [::1]")
        gateway_logs = [gateway_log(slot) for slot in rack_setup.SWITCH_SLOTS]
        nexus_logs = [nexus_log(nexus.number) for nexus in self.fleet.nexuses]
        for number in sorted([LAUNCHER_LOG, *gateway_logs, *nexus_logs]):
            path = log_path(self._directory, number)
            self._progress.note(f"log file: {path}")
            self._progress.note(f'note: configured to log to "{path}"')

    async def run_database(self, settings: Mapping[str, str]) -> None:
        """Never returns unless cancelled. Raises SimstackError when the server cannot start, or dies unasked."""
        config = ClusterConfig(
            directory=self._directory / "pg",
            log_path=log_path(self._directory, "postgres"),
            schema=schema_files(),
            port=self._plan.database.port,
            settings=settings,
        )
        async with open_postgres(config, watchdog=self._watchdog) as cluster:
            pid = cluster.pid
            assert pid is not None, "open_postgres yields a server that runs"
            await trio.lowlevel.checkpoint_if_cancelled()  # its start cannot be, and would be told all the same
            self.board.is_up(POSTGRES, cluster.address, pid=pid)
            self._progress.note(f"DB URL: {cluster.url}")
            self._progress.note(f"DB address: {cluster.address}")
            self.database.keep(cluster)
            status = await cluster.wait_exit()
            raise SimstackError(f"postgres (pid {pid}) {status}: the stack cannot go on without its database")

    async def run_internal_dns(self) -> None:
        await self._run_dns(self.internal_dns, INTERNAL_DNS, self._plan.internal_dns)

    async def run_external_dns(self) -> None:
        await self._run_dns(self.external_dns, EXTERNAL_DNS, SocketAddr(self._plan.host, 0))

    async def _run_dns(self, promise: Promise[DnsServer], name: str, bind: SocketAddr) -> None:
        from simstack.dns.server import serve_dns
        from simstack.dns.store import DnsStore

        log = self._open_log().bind(component=name.replace(" ", "_"))
        store = DnsStore()
        with _listen_errors():
            async with trio.open_nursery() as nursery:
                address: SocketAddr = await nursery.start(partial(serve_dns, store, bind, log=log))
                self.board.is_up(name, address, pid=os.getpid())
                from simstack.dns.http import serve_dns_http

                http_bind = SocketAddr(self._plan.host, 0)
                http_address: SocketAddr = await nursery.start(partial(serve_dns_http, store, http_bind, log=log))
                self.board.is_up(f"{name} HTTP", http_address, pid=os.getpid())
                promise.keep(DnsServer(store, address, http_address))

    async def run_gateway(self, slot: int, sp_sim: SpSimConfig) -> None:
        name = switch_name(slot)
        from simstack.gateway.model import SimulatedHardware
        from simstack.gateway.server import serve_gateway

        hardware = SimulatedHardware.new(sp_sim, switch_slot=slot)
        log = self._open_log_file(log_path(self._directory, gateway_log(slot)), name=name)
        with _listen_errors():
            async with trio.open_nursery() as nursery:
                bind = SocketAddr(self._plan.host, 0)
                address: SocketAddr = await nursery.start(partial(serve_gateway, hardware, bind, log=log))
                self.board.is_up(name, address, pid=os.getpid())
                self.gateways[slot].keep(address)

    async def initialize_rack(self) -> None:
        """Seed DNS with its first generation and hand the control plane to the first Nexus; wait until that shows."""
        from simstack.dns.config import DnsConfigParams, DnsConfigZone
        from simstack.handoff import NexusZone, hand_off

        addresses = [await _told(nexus.run.child, "X_INTERNAL_ADDRESS") for nexus in self.fleet.nexuses]
        second = self._plan.second
        internal_addresses = [*map(SocketAddr.parse, addresses), second.internal_address]
        members = list(zip((*self._plan.launched, second), internal_addresses, strict=True))
        internal_dns, external_dns = await self.internal_dns.get(), await self.external_dns.get()
        internal = await self._internal_configuration(members)
        internal_dns.store.apply(internal)
        external_zone = DnsConfigZone(rack_setup.EXTERNAL_DNS_ZONE, {})
        external_dns.store.apply(DnsConfigParams(SEED_GENERATION, SEED_GENERATION, datetime.now(UTC), (external_zone,)))
        zones = [
            NexusZone(member.id, sled_id, str(address), external_ip)
            for (member, address), (sled_id, external_ip) in zip(members, self._plan.places(), strict=True)
        ]
        await hand_off(internal_addresses[0], internal_dns=internal, zones=zones)
        await external_dns.store.wait_generation(SILO_GENERATION)

    async def _internal_configuration(self, members: list[tuple[PlannedNexus, SocketAddr]]) -> DnsConfigParams:
        from simstack.dns.config import DnsConfigParams
        from simstack.dns.internal_zone import (
            DnsServerService,
            GatewayService,
            NexusService,
            Services,
            internal_zone,
        )

        def service(server: DnsServer) -> DnsServerService:
            return DnsServerService(http_address=server.http_address, dns_address=server.address)

        zone = internal_zone(
            Services(
                nexuses=[NexusService(zone_id=member.id, internal_address=address) for member, address in members],
                internal_dns=service(await self.internal_dns.get()),
                external_dns=service(await self.external_dns.get()),
                gateways=[
                    GatewayService(sled_id=sled_id, address=await gateway.get())
                    for sled_id, gateway in zip(rack_setup.SLED_IDS, self.gateways, strict=True)
                ],
                database=self._plan.database,
            )
        )
        return DnsConfigParams(SEED_GENERATION, SEED_GENERATION, datetime.now(UTC), (zone,))

    async def everything_ready(self) -> StackFacts:
        """Wait for the database and for every Nexus; returns what the stack is, and marks it as up."""
        cluster = await self.database.get()
        for nexus in self.fleet.nexuses:
            await nexus.run.ready.wait()  # if it ends before that, the fleet ends all of this
        internal_dns, external_dns = await self.internal_dns.get(), await self.external_dns.get()
        self.fleet.deaths_are_fatal = False
        assert cluster.pid is not None, "nobody has stopped the database yet"
        return StackFacts(
            name=self._directory.name,
            pid=os.getpid(),
            directory=str(self._directory),
            log=str(log_path(self._directory, LAUNCHER_LOG)),
            nexuses=[nexus.facts() for nexus in self.fleet.nexuses],
            database=DatabaseFacts(
                kind="postgres",
                pid=cluster.pid,
                url=cluster.url,
                address=str(cluster.address),
                directory=str(cluster.directory),
                log=str(cluster.log_path),
            ),
            internal_dns=_dns_facts("control-plane.oxide.internal", internal_dns),
            external_dns=_dns_facts(rack_setup.EXTERNAL_DNS_ZONE, external_dns),
            gateways=[
                GatewayFacts(
                    switch=switch_name(slot),
                    url=f"http://{await gateway.get()}",
                    log=str(log_path(self._directory, gateway_log(slot))),
                )
                for slot, gateway in enumerate(self.gateways)
            ],
            silo=SiloFacts(rack_setup.SILO_NAME, rack_setup.PRIVILEGED_USER, rack_setup.PRIVILEGED_PASSWORD),
            second_nexus_config=str(await self._write_second_config()),
        )

    async def _write_second_config(self) -> Path:
        path = self._directory / "config-second.toml"
        gateways = [await gateway.get() for gateway in self.gateways]
        settings = self._plan.settings(self._plan.second, log=None, gateways=tuple(gateways))
        write_nexus_config(self._plan.second_template, settings, path)
        return path

    def _open_log(self) -> Log:
        if self._log is None:
            self._log = self._open_log_file(log_path(self._directory, LAUNCHER_LOG), name="omicron-dev")
        return self._log

    def _open_log_file(self, path: Path, *, name: str) -> Log:
        from dropshot.logging import LogConfig, log_file

        config = LogConfig(mode="file", path=str(path), if_exists="append")
        return self._log_files.enter_context(log_file(config, name=name))

    def close_logs(self) -> None:
        """Once every task has ended."""
        self._log_files.close()


def switch_name(slot: int) -> str:
    return f"switch{slot}"


def _dns_facts(zone: str, server: DnsServer) -> DnsFacts:
    return DnsFacts(zone=zone, http_url=f"http://{server.http_address}", address=str(server.address))


async def _told(child: Child, key: str) -> str:
    """Wait until the child has told its `key`."""
    async for notices in child.notices_as_they_come():
        if key in notices.values:
            return notices.values[key]
    await trio.sleep_forever()  # it ended: the fleet is about to say so
    raise AssertionError("sleep_forever() returned")


@contextmanager
def _listen_errors() -> Iterator[None]:
    from dropshot.server import ListenError

    try:
        yield
    except* ListenError as group:
        raise SimstackError("; ".join(str(error) for error in group.exceptions)) from group
