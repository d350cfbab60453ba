"""Making children of stored blueprints, and storing them: edited by somebody, or planned.

None makes the child the target, see `nexus.db.target_edits` for that. Storing may be run again after a commit whose
answer was lost: then the child is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.blueprint_target import read_target_blueprint
from nexus.db.blueprints import find_blueprint, insert_blueprint, read_blueprint
from nexus.db.dns import read_newest_dns_versions
from nexus.db.rack_state import read_rack_state
from nexus.db.sleds import list_expunged_sleds
from nexus.deployment.blueprint import FromEdit, FromPlanner
from nexus.deployment.edits import ChildMetadata, child, edits_comment
from nexus.deployment.planner import plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint, BlueprintSource
    from nexus.deployment.edits import Edit
    from nexus.ids import BlueprintId


async def store_edited_blueprint(
    connection: Connection,
    parent_id: BlueprintId | None,
    edits: Sequence[Edit],
    *,
    blueprint_id: BlueprintId,
    creator: str,
    comment: str | None,
    now: datetime,
) -> Blueprint:
    """A child of the target if no parent is named. Raises ObjectNotFound for the parent, EditRefused."""
    parent = await (read_target_blueprint(connection) if parent_id is None else read_blueprint(connection, parent_id))
    comment = edits_comment(edits) if comment is None else comment
    return await _store_child(
        connection, parent, edits, FromEdit(), blueprint_id=blueprint_id, creator=creator, comment=comment, now=now
    )


async def store_planned_blueprint(
    connection: Connection, *, blueprint_id: BlueprintId, creator: str, now: datetime
) -> Blueprint:
    """The child of the target that the planner wants, be it like the target. Raises EditRefused if it would leave no
    Nexus.
    """
    target = await read_target_blueprint(connection)
    edits = plan(target, expunged_sleds=await list_expunged_sleds(connection))
    comment = edits_comment(edits)
    return await _store_child(
        connection, target, edits, FromPlanner(), blueprint_id=blueprint_id, creator=creator, comment=comment, now=now
    )


async def _store_child(
    connection: Connection,
    parent: Blueprint,
    edits: Sequence[Edit],
    source: BlueprintSource,
    *,
    blueprint_id: BlueprintId,
    creator: str,
    comment: str,
    now: datetime,
) -> Blueprint:
    stored = await find_blueprint(connection, blueprint_id)
    if stored is not None:
        return stored
    made = await make_child(
        connection, parent, edits, blueprint_id=blueprint_id, source=source, creator=creator, comment=comment, now=now
    )
    await insert_blueprint(connection, made)
    return made


async def make_child(
    connection: Connection,
    parent: Blueprint,
    edits: Sequence[Edit],
    *,
    blueprint_id: BlueprintId,
    source: BlueprintSource,
    creator: str,
    comment: str,
    now: datetime,
) -> Blueprint:
    """Not stored yet. Raises EditRefused."""
    versions = await read_newest_dns_versions(connection)
    metadata = ChildMetadata(
        id=blueprint_id,
        time_created=now,
        creator=creator,
        comment=comment,
        source=source,
        internal_dns_version=versions["internal"],
        external_dns_version=versions["external"],
    )
    return child(parent, metadata, edits, rack=await read_rack_state(connection))
