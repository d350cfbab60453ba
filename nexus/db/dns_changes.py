"""Writing DNS versions to the database.

A version is never changed. Whoever makes one holds the row lock of the group's zone, so that versions are made one
after another; take it before reading what the new version is to follow from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from psycopg.types.json import Jsonb

from nexus.dns_types import DnsRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from nexus.db.connection import Connection
    from nexus.dns_types import DnsGroup


@dataclass(frozen=True, slots=True)
class DnsZoneLock:
    """The zone of a group, locked until the transaction ends, and what it holds now."""

    group: DnsGroup
    zone_id: UUID
    zone_name: str
    version: int
    records: dict[str, tuple[DnsRecord, ...]]


async def insert_dns_zone(connection: Connection, group: DnsGroup, *, zone_name: str, now: datetime) -> UUID:
    zone_id = uuid4()
    await connection.execute(
        "INSERT INTO dns_zone (id, dns_group, zone_name, time_created) VALUES (%s, %s, %s, %s)",
        (zone_id, group, zone_name, now),
    )
    return zone_id


async def insert_dns_version(
    connection: Connection, group: DnsGroup, *, version: int, creator: str, comment: str, now: datetime
) -> None:
    await connection.execute(
        "INSERT INTO dns_version (dns_group, version, time_created, creator, comment) VALUES (%s, %s, %s, %s, %s)",
        (group, version, now, creator, comment),
    )


async def insert_dns_names(
    connection: Connection, zone_id: UUID, records: Mapping[str, tuple[DnsRecord, ...]], *, version: int
) -> None:
    """Names that are there from `version` on."""
    await connection.cursor().executemany(
        "INSERT INTO dns_name (dns_zone_id, name, version_added, dns_record_data) VALUES (%s, %s, %s, %s)",
        [(zone_id, name, version, Jsonb(msgspec.to_builtins(of_name))) for name, of_name in records.items()],
    )


async def lock_dns_zone(connection: Connection, group: DnsGroup) -> DnsZoneLock:
    """Lock the zone of an initialized rack and read its newest version."""
    cursor = await connection.execute("SELECT id, zone_name FROM dns_zone WHERE dns_group = %s FOR UPDATE", (group,))
    zone = await cursor.fetchone()
    assert zone is not None, f"an initialized rack has a zone of the {group} DNS group"
    zone_id, zone_name = zone
    cursor = await connection.execute("SELECT max(version) FROM dns_version WHERE dns_group = %s", (group,))
    row = await cursor.fetchone()
    assert row is not None, "an aggregate has one row"
    cursor = await connection.execute(
        "SELECT name, dns_record_data FROM dns_name WHERE dns_zone_id = %s AND version_removed IS NULL", (zone_id,)
    )
    records = {name: msgspec.convert(data, tuple[DnsRecord, ...]) for name, data in await cursor.fetchall()}
    return DnsZoneLock(group, zone_id, zone_name, row[0], records)


async def write_next_version(
    connection: Connection,
    lock: DnsZoneLock,
    records: Mapping[str, tuple[DnsRecord, ...]],
    *,
    creator: str,
    comment: str,
    now: datetime,
) -> int:
    """Make the version that follows on the locked one and holds `records`; returns its number."""
    version = lock.version + 1
    gone = [name for name, of_name in lock.records.items() if records.get(name) != of_name]
    added = {name: of_name for name, of_name in records.items() if lock.records.get(name) != of_name}
    await insert_dns_version(connection, lock.group, version=version, creator=creator, comment=comment, now=now)
    await connection.execute(
        """
        UPDATE dns_name SET version_removed = %s
        WHERE dns_zone_id = %s AND version_removed IS NULL AND name = ANY(%s)
        """,
        (version, lock.zone_id, gone),
    )
    await insert_dns_names(connection, lock.zone_id, added, version=version)
    return version
