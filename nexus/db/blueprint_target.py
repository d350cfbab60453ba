"""The target blueprint: a history, whose last row is in force.

Whoever changes it locks it first (`lock_target`), so that changes come one after another and each sees the one before.
A function that is run again after a commit whose answer was lost knows its own row by the time in it, and leaves it at
that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.blueprints import delete_blueprint, insert_blueprint, read_blueprint
from nexus.deployment.blueprint import Blueprint, BlueprintTarget
from nexus.deployment.succession import objections
from nexus.errors import Conflict, InternalError, InvalidRequest, ObjectNotFound
from nexus.ids import BlueprintId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from nexus.db.connection import Connection

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class TargetVersion:
    version: int
    target: BlueprintTarget


async def insert_first_target(connection: Connection, blueprint: Blueprint, *, now: datetime) -> None:
    """Store the first blueprint of a rack and make it the target, to be executed."""
    assert blueprint.parent_blueprint_id is None, "a rack's first blueprint has no parent"
    await insert_blueprint(connection, blueprint)
    await _insert_version(
        connection, FIRST_VERSION, BlueprintTarget(target_id=blueprint.id, enabled=True, time_made_target=now)
    )


async def find_target(connection: Connection) -> BlueprintTarget | None:
    """None for a rack that is not initialized."""
    found = await _find_version(connection)
    return None if found is None else found.target


async def read_target(connection: Connection) -> BlueprintTarget:
    """Of an initialized rack. Raises InternalError if it has none."""
    return (await _read_version(connection)).target


async def lock_target(connection: Connection) -> TargetVersion:
    """Keep everybody else from changing the target until the transaction ends; returns it as it is then.

    Take this lock before any other of the transaction.
    """
    # An update that changes nothing, where FOR UPDATE would seem enough: at the higher isolation levels whoever waited
    # here must begin anew, since its snapshot does not have what the other wrote.
    await connection.execute("UPDATE rack SET time_initialized = time_initialized")
    return await _read_version(connection)


async def set_target(
    connection: Connection, target_id: BlueprintId, *, enabled: bool, now: datetime
) -> BlueprintTarget:
    """Make a child of the target the target. Raises ObjectNotFound, InvalidRequest."""

    async def check(current: BlueprintTarget) -> None:
        if current.target_id == target_id:
            switch = "`target enable` and `target disable` change whether it is executed"
            raise InvalidRequest(f"Blueprint {target_id} is the current target blueprint already; {switch}")
        blueprint = await read_blueprint(connection, target_id)
        if blueprint.parent_blueprint_id != current.target_id:
            raise InvalidRequest(f"Blueprint {target_id}'s parent blueprint is not the current target blueprint")
        target = await read_blueprint(connection, current.target_id)
        if wrong := "; ".join(objections(target, blueprint)):
            raise InvalidRequest(f"Blueprint {target_id} cannot follow on the current target blueprint: {wrong}")

    wanted = BlueprintTarget(target_id=target_id, enabled=enabled, time_made_target=now)
    return await _append_version(connection, wanted, check)


async def set_target_enabled(
    connection: Connection, target_id: BlueprintId, *, enabled: bool, now: datetime
) -> BlueprintTarget:
    """Say whether the target, which must be `target_id`, is to be executed. Raises InvalidRequest."""

    async def check(current: BlueprintTarget) -> None:
        if current.target_id != target_id:
            raise InvalidRequest(f"Blueprint {target_id} is not the current target blueprint")

    wanted = BlueprintTarget(target_id=target_id, enabled=enabled, time_made_target=now)
    return await _append_version(connection, wanted, check)


async def replace_target(
    connection: Connection, current: TargetVersion, blueprint: Blueprint, *, now: datetime
) -> None:
    """Store a child of the target, which the caller has locked, and make it the target, executed as that was."""
    assert blueprint.parent_blueprint_id == current.target.target_id, "only a child of the target takes its place"
    await insert_blueprint(connection, blueprint)
    target = BlueprintTarget(target_id=blueprint.id, enabled=current.target.enabled, time_made_target=now)
    await _insert_version(connection, current.version + 1, target)


async def delete_unless_target(connection: Connection, blueprint_id: BlueprintId) -> None:
    """Raises Conflict, ObjectNotFound. Run again after a lost answer it finds none to delete, which is an error then
    too: nothing worse.
    """
    current = await lock_target(connection)
    if current.target.target_id == blueprint_id:
        raise Conflict(f"blueprint {blueprint_id} is the current target and cannot be deleted")
    if not await delete_blueprint(connection, blueprint_id):
        raise ObjectNotFound.by_id("blueprint", blueprint_id)


async def _find_version(connection: Connection) -> TargetVersion | None:
    cursor = await connection.execute(
        "SELECT version, blueprint_id, enabled, time_made_target FROM bp_target ORDER BY version DESC LIMIT 1"
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    version, target_id, enabled, time_made_target = row
    target = BlueprintTarget(target_id=BlueprintId(target_id), enabled=enabled, time_made_target=time_made_target)
    return TargetVersion(version, target)


async def _read_version(connection: Connection) -> TargetVersion:
    found = await _find_version(connection)
    if found is None:
        raise InternalError("no target blueprint set")
    return found


async def _append_version(
    connection: Connection, wanted: BlueprintTarget, check: Callable[[BlueprintTarget], Awaitable[None]]
) -> BlueprintTarget:
    """Unless it is there already, be it that another came after it. `check` raises what speaks against it."""
    current = await lock_target(connection)
    own = await connection.execute(
        "SELECT FROM bp_target WHERE blueprint_id = %s AND time_made_target = %s",
        (wanted.target_id, wanted.time_made_target),
    )
    if await own.fetchone() is None:
        await check(current.target)
        await _insert_version(connection, current.version + 1, wanted)
    return wanted


async def _insert_version(connection: Connection, version: int, target: BlueprintTarget) -> None:
    await connection.execute(
        "INSERT INTO bp_target (version, blueprint_id, enabled, time_made_target) VALUES (%s, %s, %s, %s)",
        (version, target.target_id, target.enabled, target.time_made_target),
    )
