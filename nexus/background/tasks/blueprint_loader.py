"""Background task `blueprint_loader`: what the target blueprint is.

Details: `{"target_id", "time_created", "time_found", "status", "enabled"}`, with one of the words of
`nexus.deployment.loaded` as status; and `error`, if a stored blueprint has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.blueprint_target import read_target
from nexus.db.blueprints import read_blueprint
from nexus.deployment.loaded import UNCHANGED, UNCHANGED_ERROR, BlueprintChanged, LoadedBlueprint, load_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nexus.background.activator import Watch
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool


class BlueprintLoader:
    """Reads the target from the database and sends it to `loaded` when it is another, or enabled otherwise."""

    def __init__(self, *, pool: Pool, loaded: Watch[LoadedBlueprint | None], now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._loaded = loaded
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
            self._loaded.send(found)
        return {**details, "status": status}


async def _read_loaded(connection: Connection) -> LoadedBlueprint:
    target = await read_target(connection)
    return LoadedBlueprint(target, await read_blueprint(connection, target.target_id))
