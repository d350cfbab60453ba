"""What the database says of blueprints, sleds and Nexuses, for people who look into it: read-only.

For omdb, on a plain psycopg connection, as `nexus.db.saga_reads`. Call these inside one transaction of a fixed snapshot
where more than one answer is wanted. Raises UnreadableRecord for a blueprint that is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.unreadable import decode_record
from nexus.deployment.blueprint import Blueprint, BlueprintMetadata, BlueprintTarget
from nexus.ids import BlueprintId, NexusId, SledId

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from psycopg import Connection

LIST_BLUEPRINTS = "SELECT id, (contents - 'sleds')::text FROM blueprint ORDER BY time_created DESC, id LIMIT %s"

FIND_BLUEPRINT = "SELECT contents::text FROM blueprint WHERE id = %s"

LIST_TARGETS = """
SELECT bp_target.version, bp_target.blueprint_id, bp_target.enabled, bp_target.time_made_target, blueprint.comment
FROM bp_target LEFT JOIN blueprint ON blueprint.id = bp_target.blueprint_id
ORDER BY bp_target.version DESC LIMIT %s
"""

LIST_SLEDS = "SELECT id, serial_number, part_number, revision, sled_policy FROM sled ORDER BY serial_number LIMIT %s"

FIND_SLED = "SELECT id, serial_number, part_number, revision, sled_policy FROM sled WHERE id = %s"

LIST_NEXUS_STATES = """
SELECT nexus_id, last_drained_blueprint_id, state FROM db_metadata_nexus ORDER BY nexus_id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """`comment` is the blueprint's, None if that was deleted."""

    version: int
    target: BlueprintTarget
    comment: str | None


@dataclass(frozen=True, slots=True)
class SledRecord:
    """`policy` is the database's own word."""

    id: SledId
    serial_number: str
    part_number: str
    revision: int
    policy: str


@dataclass(frozen=True, slots=True)
class NexusStateRecord:
    nexus_id: NexusId
    last_drained_blueprint_id: UUID | None
    state: str


def list_blueprints(connection: Connection, *, limit: int) -> list[BlueprintMetadata]:
    """The newest first."""
    rows = connection.execute(LIST_BLUEPRINTS, (limit,)).fetchall()
    return [decode_record(f"blueprint {id}", text, BlueprintMetadata) for id, text in rows]


def find_blueprint(connection: Connection, blueprint_id: BlueprintId) -> Blueprint | None:
    row = connection.execute(FIND_BLUEPRINT, (blueprint_id,)).fetchone()
    if row is None:
        return None
    blueprint: Blueprint = decode_record(f"blueprint {blueprint_id}", row[0], Blueprint)
    return blueprint


def list_targets(connection: Connection, *, limit: int) -> list[TargetRecord]:
    """The newest, which is in force, first."""
    return [_target(*row) for row in connection.execute(LIST_TARGETS, (limit,)).fetchall()]


def _target(
    version: int, blueprint_id: UUID, enabled: bool, time_made_target: datetime, comment: str | None
) -> TargetRecord:
    target = BlueprintTarget(target_id=BlueprintId(blueprint_id), enabled=enabled, time_made_target=time_made_target)
    return TargetRecord(version, target, comment)


def list_sleds(connection: Connection, *, limit: int | None) -> list[SledRecord]:
    return [SledRecord(*row) for row in connection.execute(LIST_SLEDS, (limit,)).fetchall()]


def find_sled(connection: Connection, sled_id: SledId) -> SledRecord | None:
    row = connection.execute(FIND_SLED, (sled_id,)).fetchone()
    return None if row is None else SledRecord(*row)


def list_nexus_states(connection: Connection, *, limit: int) -> list[NexusStateRecord]:
    return [NexusStateRecord(*row) for row in connection.execute(LIST_NEXUS_STATES, (limit,)).fetchall()]
