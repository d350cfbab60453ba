"""`db_metadata_nexus`: which Nexuses may use the database, as the generations take turns.

    not_yet ── handoff: none of an earlier generation is active any more ──> active ── drained ──> quiesced

Who is quiesced never comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.blueprint_target import lock_target, read_target_blueprint
from nexus.deployment.nexus_states import TakeOver, first_states, turn_of, who_is_waited_for
from nexus.ids import NexusId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.nexus_states import Turn


async def insert_nexus_states(connection: Connection, blueprint: Blueprint, *, generation: int) -> int:
    """The rows that are missing, as `first_states` has them. Rows that are there stay as they are. Returns how many it
    wrote.
    """
    rows = list(first_states(blueprint, generation=generation).items())
    if not rows:
        return 0
    cursor = connection.cursor()
    await cursor.executemany(
        "INSERT INTO db_metadata_nexus (nexus_id, state) VALUES (%s, %s) ON CONFLICT (nexus_id) DO NOTHING", rows
    )
    return cursor.rowcount


async def delete_nexus_states(connection: Connection, nexus_ids: Sequence[NexusId]) -> int:
    """Returns how many there were."""
    cursor = await connection.execute("DELETE FROM db_metadata_nexus WHERE nexus_id = ANY(%s)", (list(nexus_ids),))
    return cursor.rowcount


async def take_turn(connection: Connection, nexus_id: NexusId) -> Turn:
    """What a Nexus that starts is to do, as `turn_of`. If that is to take over, it is done: it may use the database.

    Run again after a commit whose answer was lost, it finds itself active.
    """
    blueprint = await read_target_blueprint(connection)
    cursor = await connection.execute("SELECT nexus_id, state FROM db_metadata_nexus ORDER BY nexus_id")
    turn = turn_of(blueprint, dict(await cursor.fetchall()), nexus_id)
    if not isinstance(turn, TakeOver):
        return turn
    await lock_target(connection)
    return await take_turn_in(connection, await read_target_blueprint(connection), nexus_id)


async def take_turn_in(connection: Connection, target: Blueprint, nexus_id: NexusId) -> Turn:
    """`take_turn`, with the target locked by the caller: nobody else takes over, or joins, until the end."""
    cursor = await connection.execute("SELECT nexus_id, state FROM db_metadata_nexus ORDER BY nexus_id FOR UPDATE")
    turn = turn_of(target, dict(await cursor.fetchall()), nexus_id)
    if isinstance(turn, TakeOver):
        await connection.execute(
            "UPDATE db_metadata_nexus SET state = 'active' WHERE nexus_id = ANY(%s)", (list(turn.nexus_ids),)
        )
    return turn


async def list_active(connection: Connection) -> list[NexusId]:
    cursor = await connection.execute("SELECT nexus_id FROM db_metadata_nexus WHERE state = 'active' ORDER BY nexus_id")
    return [NexusId(nexus_id) for (nexus_id,) in await cursor.fetchall()]


async def record_drained(connection: Connection, nexus_id: NexusId, blueprint: Blueprint) -> list[str]:
    """Note that this Nexus is drained as of this blueprint. Returns who of its generation is still waited for."""
    await connection.execute(
        "UPDATE db_metadata_nexus SET last_drained_blueprint_id = %s"
        " WHERE nexus_id = %s AND last_drained_blueprint_id IS DISTINCT FROM %s",
        (blueprint.id, nexus_id, blueprint.id),
    )
    cursor = await connection.execute(
        "SELECT nexus_id FROM db_metadata_nexus WHERE state <> 'active' OR last_drained_blueprint_id = %s",
        (blueprint.id,),
    )
    done = [NexusId(done_id) for (done_id,) in await cursor.fetchall()]
    return who_is_waited_for(blueprint, nexus_id, done)


async def record_quiesced(connection: Connection, nexus_id: NexusId) -> bool:
    """False if the Nexus has no record. May be repeated."""
    cursor = await connection.execute(
        "UPDATE db_metadata_nexus SET state = 'quiesced' WHERE nexus_id = %s AND state IN ('active', 'quiesced')",
        (nexus_id,),
    )
    return cursor.rowcount == 1
