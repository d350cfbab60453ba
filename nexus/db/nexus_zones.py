"""Which Nexuses are in service, and the DNS that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.dns_changes import lock_dns_zone, write_next_version
from nexus.db.silos import list_silo_names
from nexus.nexus_records import external_records, internal_records, same_records
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dropshot.address import SocketAddr
    from nexus.db.connection import Connection
    from nexus.ids import NexusId


async def insert_nexus_zones(connection: Connection, zones: Sequence[NexusZone], *, now: datetime) -> None:
    await connection.cursor().executemany(
        """
        INSERT INTO nexus_zone (id, sled_id, internal_address, external_ip, time_created)
        VALUES (%s, %s, %s, %s, %s)
        """,
        [(zone.id, zone.sled_id, zone.internal_address, zone.external_ip, now) for zone in zones],
    )


async def list_nexus_zones(connection: Connection) -> list[NexusZone]:
    """All of them: a rack has a handful."""
    cursor = await connection.execute("SELECT id, sled_id, internal_address, external_ip FROM nexus_zone ORDER BY id")
    return [NexusZone(*row) for row in await cursor.fetchall()]


async def put_in_service(
    connection: Connection, nexus_id: NexusId, *, internal_address: SocketAddr, external_ip: str, now: datetime
) -> list[str]:
    """Record where this Nexus is, and make new DNS versions if that changes what DNS should say.

    A Nexus that rack setup put in service keeps the external address that it was given there. One that it did not
    know is taken for one on the first sled. Returns a line for each change, for the log. Run again after a commit
    whose answer was lost, it finds nothing to do.
    """
    internal = await lock_dns_zone(connection, "internal")
    external = await lock_dns_zone(connection, "external")
    zones = await list_nexus_zones(connection)
    changes: list[str] = []
    own = next((zone for zone in zones if zone.id == nexus_id), None)
    if own is None:
        own = NexusZone(nexus_id, zones[0].sled_id, str(internal_address), external_ip)
        await insert_nexus_zones(connection, [own], now=now)
        changes.append("zone added")
    elif own.address != internal_address:
        await connection.execute(
            "UPDATE nexus_zone SET internal_address = %s WHERE id = %s", (str(internal_address), nexus_id)
        )
        changes.append(f"zone moved from {own.internal_address}")
        own = NexusZone(own.id, own.sled_id, str(internal_address), own.external_ip)
    in_service = [own, *(zone for zone in zones if zone.id != nexus_id)]

    wanted_internal = internal_records(internal.records, in_service, internal.zone_name)
    wanted_external = external_records(external.records, in_service, await list_silo_names(connection))
    for lock, wanted in ((internal, wanted_internal), (external, wanted_external)):
        if not same_records(lock.records, wanted):
            version = await write_next_version(
                connection, lock, wanted, creator=str(nexus_id), comment=f"nexus {nexus_id}: in service", now=now
            )
            changes.append(f"{lock.group} DNS version {version}")
    return changes
