"""Background task `reconfigurator_config_watcher`: what the planner may do.

Details: `{"config_updated": bool}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.reconfigurator_config import find_newest_config

if TYPE_CHECKING:
    from nexus.background.activator import Watch
    from nexus.db.pool import Pool
    from nexus.deployment.config import ReconfiguratorConfigView


class ReconfiguratorConfigWatcher:
    """Reads the newest configuration from the database and sends it to `config` when it is a new one."""

    def __init__(self, *, pool: Pool, config: Watch[ReconfiguratorConfigView | None]) -> None:
        self._pool = pool
        self._config = config

    async def activate(self) -> dict[str, bool]:
        found = await self._pool.transaction(find_newest_config)
        updated = found != self._config.value
        if updated:
            self._config.send(found)
        return {"config_updated": updated}
