"""Background tasks `dns_config_internal` and `dns_config_external`: what DNS of a group is to say.

Details: `{"generation": N}`, or `{"error": "..."}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.dns import NoDnsVersion, read_newest_dns_config

if TYPE_CHECKING:
    from nexus.background.activator import Watch
    from nexus.db.pool import Pool
    from nexus.dns_types import DnsConfigParams, DnsGroup


class DnsConfigTask:
    """Reads the newest version from the database and sends it to `config` when it is a new one."""

    def __init__(self, group: DnsGroup, *, pool: Pool, config: Watch[DnsConfigParams | None]) -> None:
        self._group = group
        self._pool = pool
        self._config = config

    async def activate(self) -> dict[str, object]:
        try:
            found = await self._pool.transaction(lambda connection: read_newest_dns_config(connection, self._group))
        except NoDnsVersion as error:
            return {"error": str(error)}
        known = self._config.value
        if known is not None:
            if found.generation < known.generation:
                return {
                    "error": f"the database's newest DNS generation ({found.generation}) is older than the one already"
                    f" known here ({known.generation})"
                }
            if found.generation == known.generation:
                if found != known:
                    return {
                        "error": f"DNS generation {found.generation} in the database differs from what is already known"
                        " here under that number"
                    }
                return {"generation": found.generation}
        self._config.send(found)
        return {"generation": found.generation}
