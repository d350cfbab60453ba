"""What the database says of DNS versions, for people who look into it: read-only.

For omdb, on a plain psycopg connection, as `nexus.db.saga_reads`. Records are as `nexus.dns_types` has them; for others
UnreadableRecord is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nexus.db.unreadable import decode_record
from nexus.dns_types import DnsRecord

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from psycopg import Connection

    from nexus.dns_types import DnsGroup

NEWEST_VERSIONS = """
SELECT dns_zone.dns_group, dns_zone.zone_name, dns_version.version, dns_version.time_created, dns_version.comment
FROM dns_zone JOIN dns_version ON dns_version.dns_group = dns_zone.dns_group
WHERE dns_version.version = (SELECT max(version) FROM dns_version WHERE dns_group = dns_zone.dns_group)
ORDER BY dns_zone.dns_group DESC, dns_zone.zone_name
"""

FIND_VERSION = """
SELECT version, time_created, creator, comment FROM dns_version WHERE dns_group = %s AND version = %s
"""

FIND_NEWEST_VERSION = """
SELECT version, time_created, creator, comment FROM dns_version WHERE dns_group = %s ORDER BY version DESC LIMIT 1
"""

LIST_ZONES = "SELECT id, zone_name FROM dns_zone WHERE dns_group = %s ORDER BY zone_name"

NAMES = """
SELECT name, dns_record_data::text FROM dns_name
WHERE dns_zone_id = %(zone)s AND version_added <= %(version)s
  AND (version_removed IS NULL OR version_removed > %(version)s)
ORDER BY name LIMIT %(limit)s
"""

ADDED = """
SELECT name, dns_record_data::text FROM dns_name
WHERE dns_zone_id = %(zone)s AND version_added = %(version)s ORDER BY name LIMIT %(limit)s
"""

REMOVED = """
SELECT name, dns_record_data::text FROM dns_name
WHERE dns_zone_id = %(zone)s AND version_removed = %(version)s ORDER BY name LIMIT %(limit)s
"""

Names: TypeAlias = list[tuple[str, tuple[DnsRecord, ...]]]
"""In the order of names, which are relative to the zone."""


@dataclass(frozen=True, slots=True)
class NewestVersion:
    group: str
    zone_name: str
    version: int
    time_created: datetime
    comment: str


@dataclass(frozen=True, slots=True)
class VersionRecord:
    version: int
    time_created: datetime
    creator: str
    comment: str


@dataclass(frozen=True, slots=True)
class ZoneRecord:
    id: UUID
    name: str


def list_newest_versions(connection: Connection) -> list[NewestVersion]:
    """A row a zone; the internal group first."""
    return [NewestVersion(*row) for row in connection.execute(NEWEST_VERSIONS).fetchall()]


def find_version(connection: Connection, group: DnsGroup, version: int) -> VersionRecord | None:
    row = connection.execute(FIND_VERSION, (group, version)).fetchone()
    return None if row is None else VersionRecord(*row)


def find_newest_version(connection: Connection, group: DnsGroup) -> VersionRecord | None:
    row = connection.execute(FIND_NEWEST_VERSION, (group,)).fetchone()
    return None if row is None else VersionRecord(*row)


def list_zones(connection: Connection, group: DnsGroup) -> list[ZoneRecord]:
    return [ZoneRecord(*row) for row in connection.execute(LIST_ZONES, (group,)).fetchall()]


def list_names(connection: Connection, zone: ZoneRecord, version: int, *, limit: int | None) -> Names:
    """What the zone says as of that version."""
    return _names(connection, NAMES, zone, version, limit)


def list_added(connection: Connection, zone: ZoneRecord, version: int, *, limit: int) -> Names:
    """What that version added; a name that it changed is here with the new records."""
    return _names(connection, ADDED, zone, version, limit)


def list_removed(connection: Connection, zone: ZoneRecord, version: int, *, limit: int) -> Names:
    """What that version removed; a name that it changed is here with the old records."""
    return _names(connection, REMOVED, zone, version, limit)


def _names(connection: Connection, statement: str, zone: ZoneRecord, version: int, limit: int | None) -> Names:
    parameters = {"zone": zone.id, "version": version, "limit": limit}
    rows = connection.execute(statement.encode(), parameters).fetchall()
    return [(name, decode_record(f"DNS name {name}", text, tuple[DnsRecord, ...])) for name, text in rows]
