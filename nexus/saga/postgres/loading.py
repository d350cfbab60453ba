"""Reads the sagas that are to be recovered."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nexus.saga.errors import SagaError, SagaNotFound
from nexus.saga.ids import NodeId, SagaId
from nexus.saga.log import NodeEvent
from nexus.saga.payload import Payload
from nexus.saga.postgres.fence import Holding
from nexus.saga.postgres.log_writer import PostgresSagaLog
from nexus.saga.store import NodeAttempt, StoredSaga, StoredState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg.rows import TupleRow

    from nexus.db.connection import Connection
    from nexus.saga.postgres.log_writer import LogWriter
    from nexus.saga.store import Claim

READ_SAGAS = "SELECT id, current_sec, adopt_generation, claim, saga_state, saga_dag::text FROM saga WHERE id = ANY(%s)"

READ_EVENTS = """
SELECT saga_id, node_id, event_type, data::text, log_index FROM saga_node_event
WHERE saga_id = ANY(%s) ORDER BY saga_id, log_index
"""

READ_ATTEMPTS = """
SELECT saga_id, node_id, kind, attempt, error::text FROM saga_node_attempt
WHERE saga_id = ANY(%s) ORDER BY saga_id, node_id, kind, attempt
"""


async def load_sagas(
    connection: Connection, claims: Sequence[Claim], *, writer: LogWriter
) -> list[StoredSaga | SagaError]:
    """What `SecStore.load` returns or raises for each claim. To be called in a transaction, one later than the claims'.

    At REPEATABLE READ the transaction that took a claim does not see the event for whose transaction its own lock had
    to wait.
    """
    saga_ids = [claim.saga_id for claim in claims]
    async with connection.pipeline():
        sagas = await connection.execute(READ_SAGAS, (saga_ids,))
        stored_events = await connection.execute(READ_EVENTS, (saga_ids,))
        stored_attempts = await connection.execute(READ_ATTEMPTS, (saga_ids,))
    saga_rows = {row[0]: row for row in await sagas.fetchall()}
    events = _by_saga(await stored_events.fetchall())
    attempts = _by_saga(await stored_attempts.fetchall())
    answers: list[StoredSaga | SagaError] = []
    for claim in claims:
        saga_id = claim.saga_id
        try:
            row = saga_rows.get(saga_id)
            if row is None:
                raise SagaNotFound(saga_id)
            answers.append(_stored_saga(claim, row, events[saga_id], attempts[saga_id], writer))
        except SagaError as error:
            answers.append(error)
    return answers


def _by_saga(rows: Iterable[TupleRow]) -> defaultdict[SagaId, list[TupleRow]]:
    by_saga: defaultdict[SagaId, list[TupleRow]] = defaultdict(list)
    for row in rows:
        by_saga[row[0]].append(row)
    return by_saga


def _stored_saga(
    claim: Claim, row: TupleRow, events: Sequence[TupleRow], attempts: Sequence[TupleRow], writer: LogWriter
) -> StoredSaga:
    """Raises SagaLost, CorruptLog."""
    saga_id, current_sec, adopt_generation, number, state, dag = row
    Holding(saga_id, current_sec, adopt_generation, number, StoredState(state), (None, None)).check_claim(claim)
    return StoredSaga(
        state=StoredState(state),
        dag=dag.encode(),
        events=tuple(
            NodeEvent.from_stored(saga_id, NodeId(node_id), kind, _payload(data))
            for _, node_id, kind, data, _ in events
        ),
        attempts=tuple(
            NodeAttempt(saga_id, NodeId(node_id), kind, attempt, _payload(error))
            for _, node_id, kind, attempt, error in attempts
        ),
        log=PostgresSagaLog(writer, claim, next_index=events[-1][-1] + 1 if events else 0),
    )


def _payload(text: str | None) -> Payload | None:
    return None if text is None else Payload(text.encode())
