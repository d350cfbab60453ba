"""Background task `expunged_zone_watcher`: finds out when an expunged Nexus does not run any more.

Upstream's planner learns that from the sled, by way of the inventory. Here nobody listening where the zone did is what
tells: refused is a connection only when no process is there, also none that is stopped. Then a child of the target says
that the zone is ready for cleanup, and executing that moves its sagas.

Details: `{"waiting_for": [{"zone_id", "address", "reason"}], "ready_for_cleanup": [zone ids]}`. A Nexus that is
expunged itself watches nothing: `{"error"}`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from nexus.db.target_edits import edit_target
from nexus.deployment.blueprint import FromPlanner
from nexus.deployment.edits import MarkReadyForCleanup
from nexus.deployment.execution import expunged_zones
from nexus.deployment.own_zone import NexusExpunged, refuse_expunged
from nexus.ids import BlueprintId, NexusId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from dropshot.address import SocketAddr
    from dropshot.logging import Log
    from nexus.background.activator import Activator, Watch
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.loaded import LoadedBlueprint

CONNECT_TIMEOUT_S = 1.0


class ExpungedZoneWatcher:
    """`loader` is activated when there is another target."""

    def __init__(
        self,
        nexus_id: NexusId,
        *,
        pool: Pool,
        loaded: Watch[LoadedBlueprint | None],
        loader: Activator,
        log: Log,
        now: Callable[[], datetime],
    ) -> None:
        self._nexus_id = nexus_id
        self._pool = pool
        self._loaded = loaded
        self._loader = loader
        self._log = log
        self._now = now

    async def activate(self) -> dict[str, object]:
        loaded = self._loaded.value
        if loaded is None:
            return {"error": "no blueprint"}
        try:
            return await self._watch(loaded.blueprint)
        except NexusExpunged as error:
            return {"error": str(error)}

    async def _watch(self, blueprint: Blueprint) -> dict[str, object]:
        refuse_expunged(blueprint, self._nexus_id)
        waiting_for: list[dict[str, str]] = []
        gone: list[NexusId] = []
        for zone in expunged_zones(blueprint, ready_for_cleanup=False):
            reason = await still_there(zone.address)
            if reason is None:
                gone.append(zone.id)
            else:
                waiting_for.append({"zone_id": str(zone.id), "address": str(zone.address), "reason": reason})
        if gone:
            change = partial(_mark, gone=gone, blueprint_id=BlueprintId(uuid4()), by=self._nexus_id, now=self._now())
            if await self._pool.transaction(change):
                self._loader.activate()
            self._log.info("expunged zones do not run any more", zone_ids=", ".join(map(str, gone)))
        return {"waiting_for": waiting_for, "ready_for_cleanup": [str(zone_id) for zone_id in gone]}


async def still_there(address: SocketAddr) -> str | None:
    """Why it cannot be told that nobody is there; None if nobody is."""
    family = trio.socket.AF_INET6 if address.is_ipv6 else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_STREAM) as connection:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            try:
                await connection.connect((address.host, address.port))
            except ConnectionRefusedError:
                return None
            except OSError as error:
                return f"whether it runs cannot be told: {error}"
            return "somebody listens there"
    return f"no answer within {CONNECT_TIMEOUT_S:g} s"


async def _mark(
    connection: Connection, *, gone: Collection[NexusId], blueprint_id: BlueprintId, by: NexusId, now: datetime
) -> bool:
    async def find_edits(target: Blueprint) -> list[MarkReadyForCleanup]:
        refuse_expunged(target, by)
        left = [zone.id for zone in expunged_zones(target, ready_for_cleanup=False)]
        return [MarkReadyForCleanup(zone_id) for zone_id in left if zone_id in gone]

    edited = await edit_target(
        connection, find_edits, blueprint_id=blueprint_id, source=FromPlanner(), creator=str(by), now=now
    )
    return edited.is_new
