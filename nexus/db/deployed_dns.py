"""DNS as a blueprint has it: a new version of each group that does not say what it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.dns_changes import DnsZoneLock, lock_dns_zone, write_next_version
from nexus.db.silos import list_silo_names
from nexus.nexus_records import external_records, internal_records, same_records

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint


@dataclass(frozen=True, slots=True)
class DnsLocks:
    """The zones of both groups, locked until the transaction ends."""

    internal: DnsZoneLock
    external: DnsZoneLock


async def lock_dns(connection: Connection) -> DnsLocks:
    internal = await lock_dns_zone(connection, "internal")
    return DnsLocks(internal, await lock_dns_zone(connection, "external"))


async def deploy_dns(
    connection: Connection, locks: DnsLocks, blueprint: Blueprint, *, generation: int, creator: str, now: datetime
) -> list[str]:
    """With the Nexuses of `generation`, which is that of who executes it: those of a later one do not serve yet.

    Returns a line for each version that was made. Run again, it finds nothing to do.
    """
    in_service = blueprint.nexuses_in_service(generation)
    internal, external = locks.internal, locks.external
    wanted_internal = internal_records(internal.records, in_service, internal.zone_name)
    wanted_external = external_records(external.records, in_service, await list_silo_names(connection))
    changes = []
    for lock, wanted in ((internal, wanted_internal), (external, wanted_external)):
        if not same_records(lock.records, wanted):
            comment = f"blueprint {blueprint.id} ({blueprint.comment})"
            version = await write_next_version(connection, lock, wanted, creator=creator, comment=comment, now=now)
            changes.append(f"{lock.group} DNS version {version}")
    return changes
