"""Background task `blueprint_loader`: what the target blueprint is.

Details: `{"target_id", "time_created", "time_found", "status", "enabled"}`, with one of the words of
`nexus.deployment.loaded` as status; and `error`, if a stored blueprint has changed. The log tells of each change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.blueprint_target import read_target
from nexus.db.blueprints import read_blueprint
from nexus.deployment.loaded import FIRST, UNCHANGED, UNCHANGED_ERROR, BlueprintChanged, LoadedBlueprint, load_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from dropshot.logging import Log
    from nexus.background.activator import Watch
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool


class BlueprintLoader:
    """Reads the target from the database and sends it to `loaded` when it is another, or enabled otherwise."""

    def __init__(
        self, *, pool: Pool, loaded: Watch[LoadedBlueprint | None], log: Log, now: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._loaded = loaded
        self._log = log
        self._now = now

    async def activate(self) -> dict[str, object]:
        found = await self._pool.transaction(_read_loaded)
        details = {
            "target_id": found.target.target_id,
            "time_created": found.blueprint.time_created,
            "time_found": self._now(),
            "enabled": found.target.enabled,
        }
        try:
            status = load_status(self._loaded.value, found)
        except BlueprintChanged as error:
            return {**details, "status": UNCHANGED_ERROR, "error": str(error)}
        if status != UNCHANGED:
            tell = self._log.debug if status == FIRST else self._log.info
            tell(
                status,
                blueprint_id=str(found.target.target_id),
                comment=found.blueprint.comment,
                creator=found.blueprint.creator,
                enabled=found.target.enabled,
            )
            self._loaded.send(found)
        return {**details, "status": status}


async def _read_loaded(connection: Connection) -> LoadedBlueprint:
    target = await read_target(connection)
    return LoadedBlueprint(target, await read_blueprint(connection, target.target_id))
