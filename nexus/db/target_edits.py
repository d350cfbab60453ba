"""Putting a child of the target in its place, in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.blueprint_target import lock_target, replace_target
from nexus.db.blueprints import read_blueprint
from nexus.db.child_blueprints import make_child
from nexus.deployment.edits import edits_comment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint, BlueprintSource
    from nexus.deployment.edits import Edit
    from nexus.ids import BlueprintId


@dataclass(frozen=True, slots=True)
class EditedTarget:
    """The target, whether it is to be executed, and whether it was made by this edit."""

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
    now: datetime,
) -> EditedTarget:
    """Make the edits that the target needs, as it is once it is locked. What `find_edits` reads is of then, too.

    Run again after a commit whose answer was lost, it finds its own child to be the target.
    """
    current = await lock_target(connection)
    target = await read_blueprint(connection, current.target.target_id)
    if target.id == blueprint_id:
        return EditedTarget(target, enabled=current.target.enabled, is_new=True)
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
        comment=edits_comment(edits),
        now=now,
    )
    await replace_target(connection, current, made, now=now)
    return EditedTarget(made, enabled=current.target.enabled, is_new=True)
