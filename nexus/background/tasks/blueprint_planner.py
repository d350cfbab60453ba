"""Background task `blueprint_planner`: makes the target what follows from the state of the rack, if it may.

Details, by `status`: `disabled`; `limit_reached` with `limit`; `unchanged` with `parent_blueprint_id`; `targeted` with
`parent_blueprint_id`, `blueprint_id` and `comment`. All but the first have `blueprint_count` and `limit`, too.
`error` at an expunged Nexus, which plans nothing, and where the plan would leave no Nexus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from nexus.db.blueprints import count_blueprints
from nexus.db.sleds import list_expunged_sleds
from nexus.db.target_edits import edit_target
from nexus.deployment.blueprint import FromPlanner
from nexus.deployment.edits import EditRefused
from nexus.deployment.own_zone import NexusExpunged, refuse_expunged
from nexus.deployment.planner import plan
from nexus.ids import BlueprintId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nexus.background.activator import Activator, Watch
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.config import ReconfiguratorConfigView
    from nexus.deployment.edits import Edit
    from nexus.ids import NexusId

BLUEPRINT_LIMIT = 5_000
"""Upstream's: a planner that makes one blueprint after the other is not to fill the database."""


class BlueprintPlanner:
    """`loader` is activated when there is another target."""

    def __init__(
        self,
        nexus_id: NexusId,
        *,
        pool: Pool,
        config: Watch[ReconfiguratorConfigView | None],
        loader: Activator,
        now: Callable[[], datetime],
    ) -> None:
        self._nexus_id = nexus_id
        self._pool = pool
        self._config = config
        self._loader = loader
        self._now = now

    async def activate(self) -> dict[str, object]:
        config = self._config.value
        if config is None or not config.config.planner_enabled:
            return {"status": "disabled"}
        count = await self._pool.transaction(lambda connection: count_blueprints(connection, at_most=BLUEPRINT_LIMIT))
        counts = {"blueprint_count": count, "limit": BLUEPRINT_LIMIT}
        if count >= BLUEPRINT_LIMIT:
            return {"status": "limit_reached", **counts}
        blueprint_id, now = BlueprintId(uuid4()), self._now()

        async def change_target(connection: Connection) -> dict[str, object]:
            async def find_edits(target: Blueprint) -> Sequence[Edit]:
                refuse_expunged(target, self._nexus_id)
                return plan(target, expunged_sleds=await list_expunged_sleds(connection))

            edited = await edit_target(
                connection,
                find_edits,
                blueprint_id=blueprint_id,
                source=FromPlanner(),
                creator=str(self._nexus_id),
                now=now,
            )
            target = edited.blueprint
            if not edited.is_new:
                return {"status": "unchanged", "parent_blueprint_id": target.id}
            return {
                "status": "targeted",
                "parent_blueprint_id": target.parent_blueprint_id,
                "blueprint_id": target.id,
                "comment": target.comment,
            }

        try:
            details = await self._pool.transaction(change_target)
        except (NexusExpunged, EditRefused) as error:
            return {"error": str(error)}
        if details["status"] == "targeted":
            self._loader.activate()
        return {**details, **counts}
