"""Repairs of sagas by hand: inject an error, abandon.

Only for commands that hold omdb's token. Each is one transaction, which the caller opens at READ COMMITTED: it first
locks the saga's row, as every writer of a log does, and what it reads after that is what was committed when it had the
lock. (At a stricter level the snapshot would be older than the lock, and miss the event that the lock waited for.)

Both raise the claim and say so in `saga_claim`. So a process that still runs the saga is refused its next write, and
stops running it; what an action of its does meanwhile cannot be stopped from here.

Nothing is done unless the claim is still the one that the caller saw, so that what was shown and confirmed is what is
repaired: SagaChanged. SagaAtEnd and NothingRuns change nothing either. A connection that is lost in the commit leaves
it open whether anything was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.saga_reads import OMDB_SEC_ID
from nexus.saga.ids import NodeId

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

    from nexus.saga.ids import SagaId

INJECTED_ERROR = '{"ActionFailed": {"source_error": {"message": "error injected with omdb"}}}'

LOCK = "SELECT saga_state, claim, adopt_generation FROM saga WHERE id = %s FOR NO KEY UPDATE"

FIND_RUNNING_NODES = """
SELECT started.node_id, (saga.saga_dag ->> 'end_node')::int8 IS NOT DISTINCT FROM started.node_id
FROM saga_node_event AS started JOIN saga ON saga.id = started.saga_id
WHERE started.saga_id = %(saga_id)s AND started.event_type = 'started' AND NOT EXISTS (
    SELECT 1 FROM saga_node_event AS ended
    WHERE ended.saga_id = %(saga_id)s AND ended.node_id = started.node_id
      AND ended.event_type IN ('succeeded', 'failed'))
ORDER BY started.node_id
"""

INSERT_FAILED = """
INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator, claim, log_index)
SELECT %(saga_id)s, %(node_id)s, 'failed', %(error)s::jsonb, %(time)s, %(creator)s, %(claim)s, max(log_index) + 1
FROM saga_node_event WHERE saga_id = %(saga_id)s
"""

RAISE_CLAIM = "UPDATE saga SET claim = %s WHERE id = %s"

ABANDON = """
UPDATE saga
SET saga_state = 'abandoned', claim = %(claim)s, abandon_time = %(time)s, abandon_reason = 'omdb',
    abandon_comment = %(comment)s
WHERE id = %(saga_id)s
"""

INSERT_CLAIM = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason) VALUES (%s, %s, %s, %s, %s, %s)
"""


class RepairRefused(Exception):
    """Nothing was changed. One sentence that says why."""


class SagaChanged(RepairRefused):
    """Somebody took a claim since the saga was looked at."""


class SagaAtEnd(RepairRefused):
    """It is done or abandoned."""


class NothingRuns(RepairRefused):
    """No node has started without coming to an end, so there is none that could fail."""


def inject_error(connection: Connection, saga_id: SagaId, *, claim: int, now: datetime) -> list[NodeId]:
    """Make every node fail that started and has neither succeeded nor failed. Returns these.

    The saga unwinds when it is next recovered. Raises RepairRefused.
    """
    taken, adopt_generation = _lock(connection, saga_id, claim=claim)
    running = connection.execute(FIND_RUNNING_NODES, {"saga_id": saga_id}).fetchall()
    if not running:
        raise NothingRuns(f"saga {saga_id} has no node that started and has not come to its end")
    if any(is_end for _, is_end in running):
        raise NothingRuns(f"saga {saga_id} is about to succeed: only its end node has not come to its end")
    for node_id, _ in running:
        event = {"saga_id": saga_id, "node_id": node_id, "error": INJECTED_ERROR, "time": now}
        connection.execute(INSERT_FAILED, event | {"creator": OMDB_SEC_ID, "claim": taken})
    connection.execute(RAISE_CLAIM, (taken, saga_id))
    connection.execute(INSERT_CLAIM, (saga_id, taken, OMDB_SEC_ID, adopt_generation, now, "injected"))
    return [NodeId(node_id) for node_id, _ in running]


def abandon(connection: Connection, saga_id: SagaId, *, claim: int, comment: str, now: datetime) -> None:
    """Give the saga up: nothing is unwound and nobody recovers it. Raises RepairRefused."""
    taken, adopt_generation = _lock(connection, saga_id, claim=claim)
    row = {"saga_id": saga_id, "claim": taken, "time": now, "comment": comment}
    connection.execute(ABANDON, row)
    connection.execute(INSERT_CLAIM, (saga_id, taken, OMDB_SEC_ID, adopt_generation, now, "abandoned"))


def _lock(connection: Connection, saga_id: SagaId, *, claim: int) -> tuple[int, int]:
    """The claim to take, and the adopt generation it is of."""
    row = connection.execute(LOCK, (saga_id,)).fetchone()
    assert row is not None, f"saga {saga_id} is gone, and sagas are never deleted"
    state, claim_in_force, adopt_generation = row
    if state in ("done", "abandoned"):
        raise SagaAtEnd(f"saga {saga_id} is already {state}")
    if claim_in_force != claim:
        raise SagaChanged(
            f"saga {saga_id} was claimed again since it was looked at (claim {claim_in_force}, not {claim}); look again"
        )
    return claim + 1, adopt_generation
