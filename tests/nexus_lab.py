"""A Nexus in this process, with real sockets, a real database, and DNS servers of its own.

    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        ...

Everything listens on 127.0.0.1, on any free port.
"""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import trio

from dropshot import client
from dropshot.address import SocketAddr
from dropshot.exception_groups import leaves
from dropshot.logging import BunyanForm, log_to
from nexus.config import (
    DatabaseFromUrl,
    DeploymentConfig,
    DnsFromAddress,
    DropshotConfig,
    ExternalDropshotConfig,
    NexusConfig,
)
from nexus.notify import Notifier
from nexus.server import StartupError, serve_nexus
from simstack.dns.config import DnsConfigParams
from simstack.dns.http import serve_dns_http
from simstack.dns.internal_zone import DnsServerService, NexusService, Services, internal_zone
from simstack.dns.server import serve_dns
from simstack.dns.store import DnsStore
from simstack.rack_setup import PRIVILEGED_PASSWORD_HASH, PRIVILEGED_USER, RACK_ID, SILO_NAME, SLED_IDS, SLED_SERIALS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from dropshot.logging import Log

ANY_PORT = SocketAddr("127.0.0.1", 0)
FIRST = UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c")
SECOND = UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f")
JSON = ("content-type", "application/json")


class News(Notifier):
    """Takes what a Nexus tells its parent."""

    def __init__(self) -> None:
        super().__init__(None)
        self.values: dict[str, str] = {}
        self.statuses: list[str] = []
        self._changed = trio.Event()

    def send(self, **values: str) -> None:
        self.values |= values
        self.statuses += [values["STATUS"]] if "STATUS" in values else []
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, key: str) -> str:
        while key not in self.values:
            await self._changed.wait()
        return self.values[key]

    async def wait_for_status(self, part: str) -> None:
        while part not in self.values.get("STATUS", ""):
            await self._changed.wait()


@dataclass
class Nexus:
    id: UUID
    news: News
    log_text: io.StringIO = field(default_factory=io.StringIO)

    async def internal(self) -> SocketAddr:
        return SocketAddr.parse(await self.news.wait_for("X_INTERNAL_ADDRESS"))

    async def external(self) -> SocketAddr:
        return SocketAddr.parse(await self.news.wait_for("X_EXTERNAL_ADDRESS"))

    async def ready(self) -> None:
        await self.news.wait_for("READY")

    async def request(self, method: str, path: str, body: object = None) -> client.Response:
        return await self.ask(await self.internal(), method, path, body)

    async def ask(
        self, where: SocketAddr, method: str, path: str, body: object = None, *, cookie: str | None = None
    ) -> client.Response:
        headers = [JSON] + ([] if cookie is None else [("cookie", f"session={cookie}")])
        encoded = b"" if body is None else msgspec.json.encode(body)
        return await client.request(where, method, path, headers=headers, body=encoded, timeout_s=20)

    async def eventually(self, method: str, path: str, is_it: Callable[[client.Response], bool]) -> None:
        """Repeat a request until its answer is the right one."""
        while True:
            if is_it(await self.request(method, path)):
                return
            await trio.sleep(0.005)

    async def recovered(self) -> None:
        """Until its first recovery it says of a saga that it does not know: try again."""
        path = f"/demo-saga/{UUID(int=0)}/complete"
        await self.eventually("POST", path, lambda response: response.status == 404)

    def log_lines(self, sentence: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log_text.getvalue().splitlines()]
        return [line for line in lines if line["msg"] == sentence]


async def nothing(_: Nexus) -> None:
    pass


@dataclass
class World:
    database_url: str
    internal: DnsStore
    external: DnsStore
    internal_dns: DnsServerService
    external_dns: DnsServerService

    @asynccontextmanager
    async def nexus(
        self, nexus_id: UUID = FIRST, *, database_url: str | None = None, **changes: Any
    ) -> AsyncIterator[Nexus]:
        """Run one, and at the end stop it as a crash would: by cancellation."""
        nexus = Nexus(nexus_id, News())
        config = self.config(nexus_id, database_url=database_url or self.database_url)
        log = log_to(nexus.log_text, form=BunyanForm(), name=str(nexus_id))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(serve_nexus, msgspec.structs.replace(config, **changes), log=log, notifier=nexus.news)
            )
            yield nexus
            nursery.cancel_scope.cancel()

    async def refusal(self, nexus_id: UUID, meanwhile: Callable[[Nexus], Awaitable[None]] = nothing) -> str:
        """Why one cannot start, be it for what is done meanwhile."""
        try:
            async with self.nexus(nexus_id) as nexus:
                await meanwhile(nexus)
                await trio.sleep_forever()
        except* StartupError as group:
            (error,) = leaves(group)
        return str(error)

    def config(self, nexus_id: UUID, *, database_url: str) -> NexusConfig:
        return NexusConfig(
            deployment=DeploymentConfig(
                id=nexus_id,
                rack_id=RACK_ID,
                dropshot_external=ExternalDropshotConfig(bind_address=str(ANY_PORT)),
                dropshot_internal=DropshotConfig(bind_address=str(ANY_PORT)),
                internal_dns=DnsFromAddress(address=str(self.internal_dns.dns_address)),
                database=DatabaseFromUrl(url=database_url),
            )
        )

    async def handoff(self, nexus: Nexus) -> dict[str, Any]:
        """What rack setup hands over when this Nexus is the only one."""
        services = Services(
            nexuses=[NexusService(zone_id=nexus.id, internal_address=await nexus.internal())],
            internal_dns=self.internal_dns,
            external_dns=self.external_dns,
            gateways=[],
            database=SocketAddr("127.0.0.1", 5432),
        )
        params = DnsConfigParams(
            generation=1, serial=1, time_created=datetime.now(UTC), zones=(internal_zone(services),)
        )
        zone = {
            "id": nexus.id,
            "sled_id": SLED_IDS[0],
            "internal_address": str(await nexus.internal()),
            "external_ip": "127.0.0.1",
        }
        silo = {
            "silo_name": SILO_NAME,
            "user_name": PRIVILEGED_USER,
            "user_password_hash": PRIVILEGED_PASSWORD_HASH,
        }
        return {
            "external_dns_zone_name": "oxide-dev.test",
            "internal_dns_zone_config": params,
            "recovery_silo": silo,
            "sleds": [
                {"id": sled_id, "serial_number": serial, "part_number": "i86pc", "revision": 0}
                for sled_id, serial in zip(SLED_IDS, SLED_SERIALS, strict=True)
            ],
            "nexus_zones": [zone],
        }

    async def initialize_rack(self, nexus: Nexus) -> None:
        """Play rack setup: seed internal DNS, hand over."""
        handoff = await self.handoff(nexus)
        self.internal.apply(handoff["internal_dns_zone_config"])
        response = await nexus.request("PUT", f"/racks/{RACK_ID}/initialization-complete", handoff)
        assert response.status == 204, response.body


@asynccontextmanager
async def world(database_url: str) -> AsyncIterator[World]:
    log = log_to(io.StringIO(), form=BunyanForm())
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            internal, external = DnsStore(), DnsStore()
            yield World(
                database_url,
                internal,
                external,
                await _start_dns(nursery, internal, log),
                await _start_dns(nursery, external, log),
            )
            nursery.cancel_scope.cancel()


async def _start_dns(nursery: trio.Nursery, store: DnsStore, log: Log) -> DnsServerService:
    return DnsServerService(
        http_address=await nursery.start(partial(serve_dns_http, store, ANY_PORT, log=log)),
        dns_address=await nursery.start(partial(serve_dns, store, ANY_PORT, log=log)),
    )
