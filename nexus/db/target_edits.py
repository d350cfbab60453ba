"""Putting a child of the target in its place, in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.blueprint_target import lock_target, replace_target
from nexus.db.blueprints import find_blueprint, read_blueprint
from nexus.db.child_blueprints import make_child
from nexus.deployment.blueprint import FromEdit
from nexus.deployment.edits import edits_comment
from nexus.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint, BlueprintSource
    from nexus.deployment.edits import Edit
    from nexus.ids import BlueprintId


@dataclass(frozen=True, slots=True)
class EditedTarget:
    """The target, whether it is to be executed, and whether it was made by this call."""

    blueprint: Blueprint
    enabled: bool
    is_new: bool


async def edit_target(
    connection: Connection,
    find_edits: Callable[[Blueprint], Awaitable[Sequence[Edit]]],
    *,
    blueprint_id: BlueprintId,
    source: BlueprintSource,
    creator: str,
    comment: str | None = None,
    now: datetime,
) -> EditedTarget:
    """Make the edits that the target needs, as it is once it is locked. What `find_edits` reads is of then, too.

    Run again after a commit whose answer was lost, it finds the child that it made, be it the target still or not.
    Raises EditRefused.
    """
    current = await lock_target(connection)
    made = await find_blueprint(connection, blueprint_id)
    if made is not None:
        return EditedTarget(made, enabled=current.target.enabled, is_new=True)
    target = await read_blueprint(connection, current.target.target_id)
    edits = await find_edits(target)
    if not edits:
        return EditedTarget(target, enabled=current.target.enabled, is_new=False)
    made = await make_child(
        connection,
        target,
        edits,
        blueprint_id=blueprint_id,
        source=source,
        creator=creator,
        comment=edits_comment(edits) if comment is None else comment,
        now=now,
    )
    await replace_target(connection, current, made, now=now)
    return EditedTarget(made, enabled=current.target.enabled, is_new=True)


async def make_edited_target(
    connection: Connection,
    parent_id: BlueprintId | None,
    edits: Sequence[Edit],
    *,
    blueprint_id: BlueprintId,
    creator: str,
    comment: str | None,
    now: datetime,
) -> Blueprint:
    """Make the edits that somebody wants in the target, which must be `parent_id` if that is given.

    Raises InvalidRequest if it is not, and EditRefused.
    """

    async def find_edits(target: Blueprint) -> Sequence[Edit]:
        if parent_id is not None and parent_id != target.id:
            raise InvalidRequest(f"Blueprint {parent_id} is not the current target blueprint")
        return edits

    edited = await edit_target(
        connection,
        find_edits,
        blueprint_id=blueprint_id,
        source=FromEdit(),
        creator=creator,
        comment=comment,
        now=now,
    )
    return edited.blueprint
