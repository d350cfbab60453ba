"""The target blueprint: a history, whose last row is in force.

Whoever changes it locks it first (`lock_target`), so that changes come one after another and each sees the one before.
A function that is run again after a commit whose answer was lost knows its own row by the time in it, and leaves it at
that.

In the transaction that makes a blueprint the target, to be executed or not, the Nexuses that are expunged in it lose
the right to create sagas: whoever takes over what they have finds all that there will ever be. It waits for
transactions in which they are creating some, which takes up to 5 s where such a process was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.blueprints import delete_blueprint, insert_blueprint, read_blueprint
from nexus.db.rack_state import read_rack_state
from nexus.db.sec_processes import mark_expunged
from nexus.deployment.blueprint import Blueprint, BlueprintTarget
from nexus.deployment.succession import objections
from nexus.errors import Conflict, InternalError, InvalidRequest, ObjectNotFound
from nexus.ids import BlueprintId
from nexus.saga.ids import SecId

if TYPE_CHECKING:
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


async def read_target_blueprint(connection: Connection) -> Blueprint:
    """As `read_target`, with what is in it."""
    return await read_blueprint(connection, (await read_target(connection)).target_id)


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
    wanted = BlueprintTarget(target_id=target_id, enabled=enabled, time_made_target=now)
    current = await lock_target(connection)
    if not await _is_there(connection, wanted):
        if current.target.target_id == target_id:
            switch = "`target enable` and `target disable` change whether it is executed"
            raise InvalidRequest(f"Blueprint {target_id} is the current target blueprint already; {switch}")
        blueprint = await read_blueprint(connection, target_id)
        if blueprint.parent_blueprint_id != current.target.target_id:
            raise InvalidRequest(f"Blueprint {target_id}'s parent blueprint is not the current target blueprint")
        target = await read_blueprint(connection, current.target.target_id)
        if wrong := "; ".join(objections(target, blueprint, rack=await read_rack_state(connection))):
            raise InvalidRequest(f"Blueprint {target_id} cannot follow on the current target blueprint: {wrong}")
        await _insert_version(connection, current.version + 1, wanted)
        await _mark_expunged(connection, blueprint)
    return wanted


async def set_target_enabled(
    connection: Connection, target_id: BlueprintId, *, enabled: bool, now: datetime
) -> BlueprintTarget:
    """Say whether the target, which must be `target_id`, is to be executed. Raises InvalidRequest."""
    wanted = BlueprintTarget(target_id=target_id, enabled=enabled, time_made_target=now)
    current = await lock_target(connection)
    if not await _is_there(connection, wanted):
        if current.target.target_id != target_id:
            raise InvalidRequest(f"Blueprint {target_id} is not the current target blueprint")
        await _insert_version(connection, current.version + 1, wanted)
    return wanted


async def replace_target(
    connection: Connection, current: TargetVersion, blueprint: Blueprint, *, now: datetime
) -> None:
    """Store a child of the target, which the caller has locked, and make it the target, executed as that was."""
    assert blueprint.parent_blueprint_id == current.target.target_id, "only a child of the target takes its place"
    await insert_blueprint(connection, blueprint)
    target = BlueprintTarget(target_id=blueprint.id, enabled=current.target.enabled, time_made_target=now)
    await _insert_version(connection, current.version + 1, target)
    await _mark_expunged(connection, blueprint)


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


async def _is_there(connection: Connection, wanted: BlueprintTarget) -> bool:
    """By a try whose answer was lost, be it that another came after it."""
    own = await connection.execute(
        "SELECT FROM bp_target WHERE blueprint_id = %s AND time_made_target = %s",
        (wanted.target_id, wanted.time_made_target),
    )
    return await own.fetchone() is not None


async def _mark_expunged(connection: Connection, blueprint: Blueprint) -> None:
    expunged = [SecId(zone.id) for _, zone in blueprint.zones() if not zone.in_service]
    if expunged:
        await mark_expunged(connection, expunged, blueprint.id)


async def _insert_version(connection: Connection, version: int, target: BlueprintTarget) -> None:
    await connection.execute(
        "INSERT INTO bp_target (version, blueprint_id, enabled, time_made_target) VALUES (%s, %s, %s, %s)",
        (version, target.target_id, target.enabled, target.time_made_target),
    )
