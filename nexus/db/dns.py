"""Reading DNS configurations from the database.

What a version contains never changes once it is committed: a later one only adds rows and closes old ones. So a
configuration may be read page by page without a snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus.dns_types import DnsConfigParams, DnsConfigZone, DnsRecord

if TYPE_CHECKING:
    from uuid import UUID

    from nexus.db.connection import Connection
    from nexus.dns_types import DnsGroup

NAMES_PER_PAGE = 1_000


class NoDnsVersion(Exception):
    """The group has no version yet: the rack is not initialized."""

    def __init__(self, group: DnsGroup) -> None:
        super().__init__(f"the database has no version of the {group} DNS configuration")


async def read_newest_dns_versions(connection: Connection) -> dict[DnsGroup, int]:
    """Of either group of an initialized rack."""
    cursor = await connection.execute("SELECT dns_group, max(version) FROM dns_version GROUP BY dns_group")
    return {group: version for group, version in await cursor.fetchall()}


async def read_newest_dns_config(connection: Connection, group: DnsGroup) -> DnsConfigParams:
    """The newest version of a group, as its servers take it. Raises NoDnsVersion."""
    cursor = await connection.execute(
        "SELECT version, time_created FROM dns_version WHERE dns_group = %s ORDER BY version DESC LIMIT 1", (group,)
    )
    newest = await cursor.fetchone()
    if newest is None:
        raise NoDnsVersion(group)
    version, time_created = newest
    cursor = await connection.execute(
        "SELECT id, zone_name FROM dns_zone WHERE dns_group = %s ORDER BY zone_name", (group,)
    )
    zones = [
        DnsConfigZone(zone_name, await _read_records(connection, zone_id, version=version))
        for zone_id, zone_name in await cursor.fetchall()
    ]
    return DnsConfigParams(generation=version, serial=version, time_created=time_created, zones=tuple(zones))


async def _read_records(connection: Connection, zone_id: UUID, *, version: int) -> dict[str, tuple[DnsRecord, ...]]:
    records: dict[str, tuple[DnsRecord, ...]] = {}
    after = ""
    while True:
        cursor = await connection.execute(
            """
            SELECT name, dns_record_data FROM dns_name
            WHERE dns_zone_id = %s AND name > %s
              AND version_added <= %s AND (version_removed IS NULL OR version_removed > %s)
            ORDER BY name
            LIMIT %s
            """,
            (zone_id, after, version, version, NAMES_PER_PAGE),
        )
        page = await cursor.fetchall()
        records |= {name: msgspec.convert(data, tuple[DnsRecord, ...]) for name, data in page}
        if len(page) < NAMES_PER_PAGE:
            return records
        after = page[-1][0]
