"""Reading what the external endpoints are made of: silos, and the zones of external DNS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.ids import SiloId

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection

SILOS_PER_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class SiloName:
    silo_id: SiloId
    name: str
    discoverable: bool
    time_created: datetime


async def list_silo_names(connection: Connection) -> list[SiloName]:
    """All silos, by name."""
    silos: list[SiloName] = []
    while True:
        cursor = await connection.execute(
            "SELECT id, name, discoverable, time_created FROM silo WHERE name > %s ORDER BY name LIMIT %s",
            (silos[-1].name if silos else "", SILOS_PER_PAGE),
        )
        page = [SiloName(SiloId(silo_id), *rest) for silo_id, *rest in await cursor.fetchall()]
        silos += page
        if len(page) < SILOS_PER_PAGE:
            return silos


async def list_external_zone_names(connection: Connection) -> list[str]:
    cursor = await connection.execute("SELECT zone_name FROM dns_zone WHERE dns_group = 'external' ORDER BY zone_name")
    return [zone_name for (zone_name,) in await cursor.fetchall()]
