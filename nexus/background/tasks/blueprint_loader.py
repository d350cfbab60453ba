"""Background task `blueprint_loader`: what the target blueprint is.

Details: `{"target_id", "time_created", "time_found", "status", "enabled"}`, with one of the words of
`nexus.deployment.loaded` as status; and `error`, if a stored blueprint has changed. The log tells of each change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus.db.target_contents import read_target_contents
from nexus.deployment.blueprint import Blueprint
from nexus.deployment.loaded import FIRST, UNCHANGED, UNCHANGED_ERROR, BlueprintChanged, LoadedBlueprint, load_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from dropshot.logging import Log
    from nexus.background.activator import Watch
    from nexus.db.pool import Pool


class BlueprintLoader:
    """Reads the target from the database and sends it to `loaded` when it is another, or enabled otherwise.

    That may be often: while nothing changes it is one statement, and nothing is decoded.
    """

    def __init__(
        self, *, pool: Pool, loaded: Watch[LoadedBlueprint | None], log: Log, now: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._loaded = loaded
        self._log = log
        self._now = now
        self._decoded: tuple[str, Blueprint] | None = None

    async def activate(self) -> dict[str, object]:
        target, contents = await self._pool.transaction(read_target_contents)
        found = LoadedBlueprint(target, self._decode(contents))
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

    def _decode(self, contents: str) -> Blueprint:
        if self._decoded is None or self._decoded[0] != contents:
            self._decoded = contents, msgspec.json.decode(contents, type=Blueprint)
        return self._decoded[1]
