"""Reads the sagas that are to be recovered, as many in one transaction as are read well before the server ends it.

Their size is estimated first, from what the server knows without reading them. If they take too long all the same, they
are read in smaller parts; one saga that takes too long by itself is read page by page, in a transaction for each. Its
log does not grow meanwhile: only who has the claim could write to it, and that is who reads. Each page makes sure.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from nexus.saga.errors import SagaError, SagaNotFound, StoreUnavailable
from nexus.saga.ids import NodeId, SagaId
from nexus.saga.log import NodeEvent
from nexus.saga.payload import Payload
from nexus.saga.postgres.fence import Holding, read_holdings
from nexus.saga.postgres.log_writer import PostgresSagaLog
from nexus.saga.postgres.too_long import took_too_long
from nexus.saga.store import NodeAttempt, StoredSaga, StoredState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import LiteralString

    from psycopg.rows import TupleRow

    from nexus.db.connection import Connection
    from nexus.saga.postgres.claims import Transact
    from nexus.saga.postgres.log_writer import LogWriter
    from nexus.saga.store import Claim

MAX_BYTES = 32 << 20
"""In one transaction, unless it is one saga. Some tenths of a second."""

ROWS_IN_A_PAGE = 16
"""Of one saga that is read page by page: events or attempts, of 1 MiB at most."""

# What is compressed is at most a hundred times as long; a payload is 1 MiB at most.
ESTIMATE_SIZES = """
SELECT saga_id, sum(least(
  pg_column_size(data) * CASE WHEN pg_column_compression(data) IS NULL THEN 1 ELSE 100 END, 1048576
))
FROM (
  SELECT id AS saga_id, saga_dag AS data FROM saga WHERE id = ANY(%(ids)s)
  UNION ALL SELECT saga_id, data FROM saga_node_event WHERE saga_id = ANY(%(ids)s)
  UNION ALL SELECT saga_id, error FROM saga_node_attempt WHERE saga_id = ANY(%(ids)s)
) AS stored GROUP BY saga_id
"""

READ_SAGAS = "SELECT id, current_sec, adopt_generation, claim, saga_state, saga_dag::text FROM saga WHERE id = ANY(%s)"

READ_EVENTS = """
SELECT saga_id, node_id, event_type, data::text, log_index FROM saga_node_event
WHERE saga_id = ANY(%s) ORDER BY saga_id, log_index
"""

READ_ATTEMPTS = """
SELECT saga_id, node_id, kind, attempt, error::text FROM saga_node_attempt
WHERE saga_id = ANY(%s) ORDER BY saga_id, node_id, kind, attempt
"""

READ_EVENTS_AFTER = """
SELECT saga_id, node_id, event_type, data::text, log_index FROM saga_node_event
WHERE saga_id = %s AND log_index > %s ORDER BY log_index LIMIT %s
"""

READ_ATTEMPTS_AFTER = """
SELECT saga_id, node_id, kind, attempt, error::text FROM saga_node_attempt
WHERE saga_id = %s AND (node_id, kind, attempt) > (%s, %s, %s) ORDER BY node_id, kind, attempt LIMIT %s
"""


async def load_sagas(transact: Transact, claims: Sequence[Claim], *, writer: LogWriter) -> list[StoredSaga | SagaError]:
    """What `SecStore.load` returns or raises for each claim. Its transactions are to be later than the claims'.

    At REPEATABLE READ the transaction that took a claim does not see the event for whose transaction its own lock had
    to wait.
    """
    answers: list[StoredSaga | SagaError] = []
    most = len(claims)
    while left := claims[len(answers) :]:
        try:
            answers += await transact(partial(_load_first, claims=left[:most], writer=writer))
        except StoreUnavailable as error:
            if not took_too_long(error):
                return [*answers, *[error] * len(left)]
            if most == 1:
                answers.append(await _load_in_pages(transact, left[0], writer))
            most = max(1, min(most, len(left)) // 2)
    return answers


async def _load_first(
    connection: Connection, *, claims: Sequence[Claim], writer: LogWriter
) -> list[StoredSaga | SagaError]:
    """As many of them as are not too large together, and at least one."""
    saga_ids = [claim.saga_id for claim in claims]
    sizes: dict[SagaId, int] = dict(await (await connection.execute(ESTIMATE_SIZES, {"ids": saga_ids})).fetchall())
    total = count = 0
    for saga_id in saga_ids:
        total += sizes.get(saga_id, 0)
        if count and total > MAX_BYTES:
            break
        count += 1
    return await _load(connection, claims[:count], writer)


async def _load(connection: Connection, claims: Sequence[Claim], writer: LogWriter) -> list[StoredSaga | SagaError]:
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


async def _load_in_pages(transact: Transact, claim: Claim, writer: LogWriter) -> StoredSaga | SagaError:
    events: list[TupleRow] = []
    attempts: list[TupleRow] = []
    try:
        saga = await transact(partial(_read_saga, claim=claim))
        after: tuple[object, ...] = (-1,)
        while page := await transact(partial(_read_page, claim=claim, query=READ_EVENTS_AFTER, after=after)):
            events += page
            after = (page[-1][-1],)
        after = (-1, "", 0)
        while page := await transact(partial(_read_page, claim=claim, query=READ_ATTEMPTS_AFTER, after=after)):
            attempts += page
            after = page[-1][1:4]
        return _stored_saga(claim, saga, events, attempts, writer)
    except SagaError as error:
        return error


async def _read_saga(connection: Connection, *, claim: Claim) -> TupleRow:
    row = await (await connection.execute(READ_SAGAS, ([claim.saga_id],))).fetchone()
    if row is None:
        raise SagaNotFound(claim.saga_id)
    return row


async def _read_page(
    connection: Connection, *, claim: Claim, query: LiteralString, after: tuple[object, ...]
) -> list[TupleRow]:
    holding = (await read_holdings(connection, [claim.saga_id])).get(claim.saga_id)
    if holding is None:
        raise SagaNotFound(claim.saga_id)
    holding.check_claim(claim)
    cursor = await connection.execute(query, (claim.saga_id, *after, ROWS_IN_A_PAGE))
    return await cursor.fetchall()


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
