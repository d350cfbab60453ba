"""Writes new sagas and saga logs to Postgres: one task, first in, first out, everything that waits at once.

    executor -- enqueue() --> PostgresSagaLog (one a saga) --> LogWriter.run -- one transaction --> database
             <- durable() --         create() --------------->

Group commit without a timer: whatever was enqueued while the last transaction was under way goes out together in the
next one, so a lone saga never waits for company and many share a commit. Order is kept within a saga, so what is
durable of it is always a prefix of what was enqueued. Waiters are released after the commit only.

A transaction first locks the rows of its sagas and compares their claims (`fence.py`): a conditional INSERT alone would
let a stale event pass at READ COMMITTED. A saga whose claim is not in force any more is lost, and nothing of it is
written. One whose row is locked by somebody else is put back; the others do not wait for it.

A batch whose outcome is unknown is written again as it was, which does no harm: an event that is there already must be
the same one, and nobody but the holder of this very claim can have made the saga `done`. While the database is away the
writer tries for ever, with a pause that grows, and says so in the log; no event is dropped. Creations do not wait that
long, see `create`.

A row that the database refuses is found by halving the batch: it and all later rows of its saga are refused
(WriteRefused), the rows of the others go through. A batch for which the server's 5 s were too short is halved, too, but
no row is refused for that.

Creations that the guard refuses are refused together; the other rows of their transaction go through, and so do those
creations that an earlier try in doubt has made.

What is queued is bounded: a saga that runs waits for its rows before it calls anything, so it never has more of them
than its DAG has nodes, and new sagas wait while the queue is long.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import psycopg
import trio

from nexus.db.errors import DatabaseUnavailable
from nexus.saga.errors import (
    OutcomeUnknown,
    SagaError,
    SagaExists,
    SagaLost,
    SagaNotFound,
    StoreUnavailable,
    WriteRefused,
)
from nexus.saga.log import NodeEvent
from nexus.saga.postgres.fence import lock_free_sagas
from nexus.saga.postgres.too_long import took_too_long
from nexus.saga.store import Claim, NodeAttempt, StateUpdate, StoredState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.saga.ids import SagaId
    from nexus.saga.logger import Logger
    from nexus.saga.store import LogWrite, NewSaga

MAX_ROWS = 2_000
"""In one transaction. Its commit is then a small part of the time that it takes, and it stays under a second."""

MAX_BYTES = 4 << 20
"""In one transaction, and a last row beyond it: 0.3 s at the 20 MB/s at which a slow server takes in JSON."""

MAX_QUEUED_CREATIONS = 2 * MAX_ROWS
"""Enough to fill the next transactions; more would only use memory and be answered later."""

FIRST_PAUSE_S = 0.01

LOCKED_PAUSE_S = 0.05
"""Between two looks at sagas that are locked, when there is nothing else to write."""

LONGEST_PAUSE_S = 2.0
"""A database that is back is noticed about this much later, and the log says about this often that it is away."""

FIRST_CLAIM = 1

# All rows of a kind are one statement with one parameter, as JSON: less work for both sides than a statement for each.
# What is JSON itself is text in it, so that `null` stays what it is.
INSERT_SAGAS = """
INSERT INTO saga (id, creator, time_created, name, saga_dag, saga_state, current_sec, adopt_time, claim)
SELECT id, sec_id, time, name, dag::jsonb, 'running', sec_id, time, claim
FROM json_to_recordset(%s::json)
  AS new(id UUID, sec_id UUID, time TIMESTAMPTZ, name TEXT, dag TEXT, claim INT8)
ON CONFLICT (id) DO NOTHING
"""

FIND_SAGAS = "SELECT id FROM saga WHERE id = ANY(%s)"

FIND_SAME_SAGA = """
SELECT 1 FROM saga
WHERE id = %(id)s AND creator = %(sec_id)s AND time_created = %(time)s AND name = %(name)s
  AND saga_dag = %(dag)s::jsonb
"""

INSERT_FIRST_CLAIMS = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason)
SELECT id, claim, sec_id, 1, time, 'created'
FROM json_to_recordset(%s::json) AS new(id UUID, sec_id UUID, time TIMESTAMPTZ, claim INT8)
ON CONFLICT DO NOTHING
"""

# The first try of a batch may have committed before its connection fell.
INSERT_EVENTS = """
INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator, claim, log_index)
SELECT saga_id, node_id, kind, data::jsonb, time, sec_id, claim, log_index
FROM json_to_recordset(%s::json)
  AS new(saga_id UUID, node_id INT8, kind TEXT, data TEXT, time TIMESTAMPTZ, sec_id UUID, claim INT8, log_index INT8)
ON CONFLICT DO NOTHING
"""

FIND_SAME_EVENT = """
SELECT 1 FROM saga_node_event
WHERE saga_id = %(saga_id)s AND node_id = %(node_id)s AND event_type = %(kind)s
  AND data IS NOT DISTINCT FROM %(data)s::jsonb
  AND creator = %(sec_id)s AND claim = %(claim)s AND log_index = %(log_index)s
"""

INSERT_ATTEMPTS = """
INSERT INTO saga_node_attempt (saga_id, node_id, kind, attempt, claim, time, error)
SELECT saga_id, node_id, kind, attempt, claim, time, error::jsonb
FROM json_to_recordset(%s::json)
  AS new(saga_id UUID, node_id INT8, kind TEXT, attempt INT8, claim INT8, time TIMESTAMPTZ, error TEXT)
ON CONFLICT DO NOTHING
"""

UPDATE_STATES = "UPDATE saga SET saga_state = %s WHERE id = ANY(%s)"


class Creation:
    """A new saga that somebody waits for."""

    __slots__ = ("answered", "error", "saga")

    def __init__(self, saga: NewSaga) -> None:
        self.saga = saga
        self.answered = trio.Event()
        self.error: SagaError | None = None

    def answer(self, error: SagaError | None = None) -> None:
        self.error = error
        self.answered.set()


@dataclass(frozen=True, slots=True)
class LogRow:
    """`log_index` counts the events of a saga from 0. `time` is for people, never for an order."""

    log: PostgresSagaLog
    write: LogWrite
    time: datetime
    log_index: int

    @property
    def size(self) -> int:
        """Of its JSON, in bytes. Errors are rare and short, and are not encoded to be measured."""
        match self.write:
            case NodeEvent(data=bytes() as data) | NodeAttempt(error=bytes() as data):
                return len(data)
            case _:
                return 0


Row: TypeAlias = Creation | LogRow

Guard: TypeAlias = "Callable[[Connection], Awaitable[None]]"
"""As that of `nexus.saga.store`. Of a whole store it raises SagaError only."""


class PostgresSagaLog:
    """The `SagaLogWriter` of one saga."""

    __slots__ = (
        "_callback",
        "_enqueued",
        "_lot",
        "_next_index",
        "_pending",
        "_queued",
        "_refusal",
        "_writer",
        "_written",
        "claim",
        "ending",
    )

    def __init__(self, writer: LogWriter, claim: Claim, *, next_index: int) -> None:
        self.claim = claim
        self.ending = False
        """The last that was enqueued is the saga's end."""

        self._writer = writer
        self._next_index = next_index
        self._pending: list[LogRow] = []
        self._queued = False  # with the writer, which comes back to it until nothing is pending
        self._enqueued = 0
        self._written = 0
        self._lot = trio.lowlevel.ParkingLot()
        self._refusal: SagaError | None = None
        self._callback: Callable[[SagaError], None] | None = None

    @property
    def refused(self) -> bool:
        return self._refusal is not None

    def on_refused(self, callback: Callable[[SagaError], None], /) -> None:
        self._callback = callback
        if self._refusal is not None:
            callback(self._refusal)

    def enqueue(self, write: LogWrite, /) -> None:
        if self._refusal is not None:
            raise self._refusal
        self._pending.append(LogRow(self, write, datetime.now(UTC), self._next_index))
        self._next_index += isinstance(write, NodeEvent)
        self._enqueued += 1
        self.ending = write == StateUpdate(StoredState.DONE)
        if not self._queued:
            self._queued = True
            self._writer.add(self)

    async def durable(self) -> None:
        awaited = self._enqueued
        if self._refusal is None and self._written >= awaited:
            await trio.lowlevel.checkpoint()
        while self._refusal is None and self._written < awaited:
            await self._lot.park()
        if self._refusal is not None:
            raise self._refusal

    def take(self, max_rows: int, max_bytes: int) -> list[LogRow]:
        """The next rows to write; only the last may exceed `max_bytes`. Ends in `written`, `put_back` or `refuse`."""
        count = size = 0
        while count < min(max_rows, len(self._pending)) and size < max_bytes:
            size += self._pending[count].size
            count += 1
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken

    def written(self, count: int) -> None:
        """So many of the rows that were taken are durable."""
        self._written += count
        self._lot.unpark_all()

    def put_back(self, rows: Sequence[LogRow]) -> None:
        if self._refusal is None:
            self._pending[:0] = rows

    def release(self) -> bool:
        """The writer has done with what it took. Whether it must come back."""
        self._queued = bool(self._pending)
        return self._queued

    def refuse(self, error: SagaError, /) -> None:
        if self._refusal is not None:
            return
        self._refusal = error
        self._pending = []
        self._lot.unpark_all()
        if self._callback is not None:
            self._callback(error)


@dataclass(slots=True)
class Outcome:
    """What a transaction has done, if it commits. What is in none of these was written."""

    refused: dict[Creation, SagaError] = field(default_factory=dict)
    lost: dict[PostgresSagaLog, SagaError] = field(default_factory=dict)
    locked: set[PostgresSagaLog] = field(default_factory=set)


class LogWriter:
    """The task that writes all new sagas and all sagas' logs."""

    def __init__(self, pool: Pool, *, log: Logger, creation_guard: Guard | None = None) -> None:
        self._pool = pool
        self._creation_guard = creation_guard
        self._log = log
        self._queue: deque[Creation | PostgresSagaLog] = deque()  # a log once, while it has anything to write
        self._queued = trio.Event()
        self._places = trio.Semaphore(MAX_QUEUED_CREATIONS)
        self._pause_s = FIRST_PAUSE_S
        self._locked: dict[PostgresSagaLog, list[LogRow]] = {}  # in the batch under way: what to put back

    async def create(self, saga: NewSaga) -> PostgresSagaLog:
        """Write a new saga under its first claim.

        Raises SagaExists, WriteRefused, what the guard raises, StoreUnavailable as soon as the database is known to be
        away, or OutcomeUnknown if that became known during the commit. Cancelled, it leaves nothing or the saga.
        """
        async with self._places:
            creation = Creation(saga)
            self.add(creation)
            await creation.answered.wait()
        if creation.error is not None:
            raise creation.error
        return PostgresSagaLog(self, Claim(saga.saga_id, saga.sec_id, 1, FIRST_CLAIM), next_index=0)

    def add(self, item: Creation | PostgresSagaLog) -> None:
        self._queue.append(item)
        self._queued.set()

    async def run(self) -> None:
        """Write until cancelled. What is not written then is lost, as in a crash."""
        while True:
            if not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
            rows = self._take()
            await self._write(rows)
            all_locked = bool(rows) and sum(map(len, self._locked.values())) == len(rows)
            for saga_log, locked in self._locked.items():
                saga_log.put_back(locked)
            self._locked.clear()
            for saga_log in {row.log: None for row in rows if isinstance(row, LogRow)}:
                if saga_log.release():
                    self.add(saga_log)
            if all_locked:
                await trio.sleep(LOCKED_PAUSE_S)

    def _take(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        while self._queue and len(rows) < MAX_ROWS and size < MAX_BYTES:
            match self._queue.popleft():
                case Creation(saga=saga) as creation:
                    rows.append(creation)
                    size += len(saga.dag)
                case PostgresSagaLog() as saga_log:
                    taken = saga_log.take(MAX_ROWS - len(rows), MAX_BYTES - size)
                    rows += taken
                    size += sum(row.size for row in taken)
        return rows

    async def _write(self, rows: Sequence[Row]) -> None:
        """Until each row is written, refused, or to be put back because its saga is locked."""
        while rows:
            may_have_committed = False

            async def write(connection: Connection, *, rows: Sequence[Row]) -> Outcome:
                nonlocal may_have_committed
                outcome = await write_rows(connection, rows, creation_guard=self._creation_guard)
                may_have_committed = True
                return outcome

            try:
                outcome = await self._pool.transaction(partial(write, rows=rows))
            except (psycopg.DataError, psycopg.IntegrityError, SagaError) as error:
                if len(rows) == 1:
                    _refuse(rows[0], error)
                else:
                    await self._write_halves(rows)
                return
            except (DatabaseUnavailable, psycopg.Error) as error:
                rows = self._refuse_creations(rows, str(error), may_have_committed=may_have_committed)
                self._log.warning(
                    "saga logs cannot be written for now; trying again",
                    error=str(error),
                    rows=len(rows),
                    logs_waiting=len(self._queue),
                )
                await trio.sleep(self._pause_s)
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                if len(rows) > 1 and took_too_long(error):
                    await self._write_halves(rows)
                    return
            else:
                self._pause_s = FIRST_PAUSE_S
                self._settle(rows, outcome)
                return

    async def _write_halves(self, rows: Sequence[Row]) -> None:
        """After a transaction that was refused for the sake of a row, or took too long. First half first, and after a
        row that was refused, or is to be put back, nothing of its saga."""
        middle = len(rows) // 2
        await self._write(rows[:middle])
        rest: list[Row] = []
        for row in rows[middle:]:
            if isinstance(row, LogRow) and row.log in self._locked:
                self._locked[row.log].append(row)
            elif isinstance(row, Creation) or not row.log.refused:
                rest.append(row)
        await self._write(rest)

    def _settle(self, rows: Sequence[Row], outcome: Outcome) -> None:
        """The transaction is committed."""
        written: Counter[PostgresSagaLog] = Counter()
        for row in rows:
            match row:
                case Creation() as creation:
                    creation.answer(outcome.refused.get(creation))
                case LogRow(log=saga_log):
                    if saga_log in outcome.locked:
                        self._locked.setdefault(saga_log, []).append(row)
                    elif saga_log not in outcome.lost:
                        written[saga_log] += 1
        for saga_log, error in outcome.lost.items():
            saga_log.refuse(error)
        for saga_log, count in written.items():
            saga_log.written(count)

    def _refuse_creations(self, rows: Sequence[Row], reason: str, *, may_have_committed: bool) -> list[Row]:
        """Creations do not wait for a database that is away. Those still queued were surely not written."""
        left: list[Row] = []
        for row in rows:
            match row:
                case Creation() as creation:
                    creation.answer(OutcomeUnknown(reason) if may_have_committed else StoreUnavailable(reason))
                case LogRow():
                    left.append(row)
        queued, self._queue = self._queue, deque()
        for item in queued:
            match item:
                case Creation() as creation:
                    creation.answer(StoreUnavailable(reason))
                case PostgresSagaLog():
                    self._queue.append(item)
        return left


def _refuse(row: Row, error: Exception) -> None:
    match row:
        case Creation(saga=saga) as creation:
            creation.answer(_refusal(saga.saga_id, error))
        case LogRow(log=saga_log):
            saga_log.refuse(_refusal(saga_log.claim.saga_id, error))


def _refusal(saga_id: SagaId, error: Exception) -> SagaError:
    if isinstance(error, SagaError):
        return error
    return WriteRefused(f"saga {saga_id}: the database refused a write: {error}")


async def write_rows(connection: Connection, rows: Sequence[Row], *, creation_guard: Guard | None) -> Outcome:
    """In a transaction; the same rows may have been written before. Raises WriteRefused if an event differs."""
    outcome = Outcome()
    creations: list[Creation] = []
    by_log: dict[PostgresSagaLog, list[LogRow]] = {}
    for row in rows:
        match row:
            case Creation():
                creations.append(row)
            case LogRow():
                by_log.setdefault(row.log, []).append(row)
    if creations:
        outcome.refused = await _create(connection, creations, guard=creation_guard)
    if by_log:
        await _write_logs(connection, by_log, outcome)
    return outcome


async def _create(
    connection: Connection, creations: Sequence[Creation], *, guard: Guard | None
) -> dict[Creation, SagaError]:
    """Returns those that are refused, and why."""
    if guard is not None:
        try:
            await guard(connection)
        except SagaError as error:
            # Whatever creates sagas locks what the guard has looked at, so a try in doubt is over by now.
            return {creation: error for creation in await _not_made(connection, creations)}
    return await _insert_sagas(connection, creations)


async def _not_made(connection: Connection, creations: Sequence[Creation]) -> list[Creation]:
    cursor = await connection.execute(FIND_SAGAS, ([creation.saga.saga_id for creation in creations],))
    found = {row[0] for row in await cursor.fetchall()}
    return [
        creation
        for creation in creations
        if creation.saga.saga_id not in found or not await _is_same(connection, _saga_row(creation.saga))
    ]


async def _insert_sagas(connection: Connection, creations: Sequence[Creation]) -> dict[Creation, SagaError]:
    """Returns those whose id another creation took."""
    rows = [_saga_row(creation.saga) for creation in creations]
    encoded = (_json(rows),)
    cursor = await connection.execute(INSERT_SAGAS, encoded)
    existing: dict[Creation, SagaError] = {}
    if cursor.rowcount != len(rows):
        for creation, row in zip(creations, rows, strict=True):
            if not await _is_same(connection, row):
                existing[creation] = SagaExists(creation.saga.saga_id, "in the database")
    await connection.execute(INSERT_FIRST_CLAIMS, encoded)
    return existing


async def _is_same(connection: Connection, row: dict[str, object]) -> bool:
    """Whether this creation has made the saga that has its id."""
    return await (await connection.execute(FIND_SAME_SAGA, row)).fetchone() is not None


async def _write_logs(
    connection: Connection, by_log: Mapping[PostgresSagaLog, Sequence[LogRow]], outcome: Outcome
) -> None:
    free, locked = await lock_free_sagas(connection, [saga_log.claim.saga_id for saga_log in by_log])
    events: list[dict[str, object]] = []
    attempts: list[dict[str, object]] = []
    states: dict[SagaId, StoredState] = {}
    for saga_log, rows in by_log.items():
        claim = saga_log.claim
        if claim.saga_id in locked:
            outcome.locked.add(saga_log)
            continue
        holding = free.get(claim.saga_id)
        if holding is None:
            outcome.lost[saga_log] = SagaNotFound(claim.saga_id)
            continue
        if saga_log.ending and holding.state is StoredState.DONE and holding.claim == claim.number:
            continue  # written already, in a try that was thought to have failed
        try:
            holding.check_claim(claim)
        except SagaLost as lost:
            outcome.lost[saga_log] = lost
            continue
        for row in rows:
            match row.write:
                case NodeEvent() as event:
                    events.append(_event_row(claim, row, event))
                case NodeAttempt() as attempt:
                    attempts.append(_attempt_row(claim, row, attempt))
                case StateUpdate(state):
                    states[claim.saga_id] = state
    if events:
        await _insert_events(connection, events)
    if attempts:
        await connection.execute(INSERT_ATTEMPTS, (_json(attempts),))
    for new_state in set(states.values()):
        saga_ids = [saga_id for saga_id, state in states.items() if state is new_state]
        await connection.execute(UPDATE_STATES, (new_state, saga_ids))


async def _insert_events(connection: Connection, rows: list[dict[str, object]]) -> None:
    cursor = await connection.execute(INSERT_EVENTS, (_json(rows),))
    if cursor.rowcount == len(rows):
        return
    for row in rows:
        await cursor.execute(FIND_SAME_EVENT, row)
        if await cursor.fetchone() is None:
            raise WriteRefused(
                f"saga {row['saga_id']}: another event {row['kind']} of node {row['node_id']} is in the log already"
            )


def _json(rows: Sequence[dict[str, object]]) -> str:
    return msgspec.json.encode(rows).decode()


def _saga_row(saga: NewSaga) -> dict[str, object]:
    return {
        "id": saga.saga_id,
        "sec_id": saga.sec_id,
        "time": saga.time_created,
        "name": saga.name,
        "dag": saga.dag.decode(),
        "claim": FIRST_CLAIM,
    }


def _event_row(claim: Claim, row: LogRow, event: NodeEvent) -> dict[str, object]:
    data = event.data_to_json()
    return {
        "saga_id": claim.saga_id,
        "node_id": event.node_id,
        "kind": event.kind,
        "data": None if data is None else data.decode(),
        "time": row.time,
        "sec_id": claim.sec_id,
        "claim": claim.number,
        "log_index": row.log_index,
    }


def _attempt_row(claim: Claim, row: LogRow, attempt: NodeAttempt) -> dict[str, object]:
    return {
        "saga_id": claim.saga_id,
        "node_id": attempt.node_id,
        "kind": attempt.kind,
        "attempt": attempt.attempt,
        "claim": claim.number,
        "time": row.time,
        "error": None if attempt.error is None else attempt.error.decode(),
    }
