"""Writes saga logs to Postgres: one task, first in, first out.

    executor -- enqueue() --> PostgresSagaLog (one a saga) --> LogWriter.run -- one transaction --> database
             <- durable() --                               <--

All that a saga has enqueued when its turn comes goes out in one transaction, so what is durable is always a prefix of
what was enqueued. A transaction first locks the saga's row and compares the claim (`fence.py`): a conditional INSERT
alone would let a stale event pass at READ COMMITTED. A batch whose outcome is unknown is written again as it was, which
does no harm: an event that is there already must be the same one, and nobody but the holder of this very claim can
have made the saga `done`.

Waiters are released after the commit only. While the database is away the writer tries for ever, with a pause that
grows, and says so in the log; nothing is dropped. A batch that the database refuses as such (WriteRefused), and one
whose claim is not in force any more (SagaLost), end that saga's log and no other's.

Group commit, when it comes, is `LogWriter.run` taking several logs at a time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import trio

from nexus.db.errors import DatabaseUnavailable
from nexus.saga.errors import SagaError, WriteRefused
from nexus.saga.log import NodeEvent
from nexus.saga.postgres.fence import lock_saga
from nexus.saga.store import NodeAttempt, StateUpdate, StoredState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.saga.logger import Logger
    from nexus.saga.store import Claim, LogWrite

FIRST_PAUSE_S = 0.01

LONGEST_PAUSE_S = 2.0
"""A database that is back is noticed about this much later, and the log says about this often that it is away."""

# The first try of a batch may have committed before its connection fell.
INSERT_EVENT = """
INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator, claim, log_index)
VALUES (%(saga_id)s, %(node_id)s, %(kind)s, %(data)s::jsonb, %(time)s, %(sec_id)s, %(claim)s, %(log_index)s)
ON CONFLICT DO NOTHING
"""

FIND_SAME_EVENT = """
SELECT 1 FROM saga_node_event
WHERE saga_id = %(saga_id)s AND node_id = %(node_id)s AND event_type = %(kind)s
  AND data IS NOT DISTINCT FROM %(data)s::jsonb
  AND creator = %(sec_id)s AND claim = %(claim)s AND log_index = %(log_index)s
"""

INSERT_ATTEMPT = """
INSERT INTO saga_node_attempt (saga_id, node_id, kind, attempt, claim, time, error)
VALUES (%(saga_id)s, %(node_id)s, %(kind)s, %(attempt)s, %(claim)s, %(time)s, %(error)s::jsonb)
ON CONFLICT DO NOTHING
"""

UPDATE_STATE = "UPDATE saga SET saga_state = %s WHERE id = %s"


@dataclass(frozen=True, slots=True)
class StampedWrite:
    """`log_index` counts the events of a saga from 0. `time` is for people, never for an order."""

    write: LogWrite
    time: datetime
    log_index: int


class PostgresSagaLog:
    """The `SagaLogWriter` of one saga."""

    __slots__ = (
        "_batch",
        "_callback",
        "_enqueued",
        "_lot",
        "_next_index",
        "_pending",
        "_refusal",
        "_writer",
        "_written",
        "claim",
    )

    def __init__(self, writer: LogWriter, claim: Claim, *, next_index: int) -> None:
        self.claim = claim
        self._writer = writer
        self._next_index = next_index
        self._batch: list[StampedWrite] = []  # taken by the writer, and not known to be written
        self._pending: list[StampedWrite] = []  # enqueued since
        self._enqueued = 0
        self._written = 0
        self._lot = trio.lowlevel.ParkingLot()
        self._refusal: SagaError | None = None
        self._callback: Callable[[SagaError], None] | None = None

    def on_refused(self, callback: Callable[[SagaError], None], /) -> None:
        self._callback = callback

    def enqueue(self, write: LogWrite, /) -> None:
        if self._refusal is not None:
            raise self._refusal
        if not self._pending and not self._batch:
            self._writer.add(self)
        self._pending.append(StampedWrite(write, datetime.now(UTC), self._next_index))
        self._next_index += isinstance(write, NodeEvent)
        self._enqueued += 1

    async def durable(self) -> None:
        await trio.lowlevel.checkpoint()
        awaited = self._enqueued
        while self._refusal is None and self._written < awaited:
            await self._lot.park()
        if self._refusal is not None:
            raise self._refusal

    def batch(self) -> Sequence[StampedWrite]:
        """What to write next; the same until it is reported as `written`."""
        if not self._batch:
            self._batch, self._pending = self._pending, []
        return self._batch

    def written(self) -> bool:
        """The batch is durable. Whether there is more."""
        self._written += len(self._batch)
        self._batch = []
        self._lot.unpark_all()
        return bool(self._pending)

    def refuse(self, error: SagaError) -> None:
        self._refusal = error
        self._batch, self._pending = [], []
        self._lot.unpark_all()
        if self._callback is not None:
            self._callback(error)


class LogWriter:
    """The task that writes all sagas' logs. A log is in its queue once, while it has anything to write."""

    def __init__(self, pool: Pool, *, log: Logger) -> None:
        self._pool = pool
        self._log = log
        self._queue: deque[PostgresSagaLog] = deque()
        self._queued = trio.Event()

    def add(self, saga_log: PostgresSagaLog) -> None:
        self._queue.append(saga_log)
        self._queued.set()

    async def run(self) -> None:
        """Write until cancelled. What is not written then is lost, as in a crash."""
        pause_s = FIRST_PAUSE_S
        while True:
            if not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
            saga_log = self._queue.popleft()
            try:
                await self._write(saga_log)
            except (DatabaseUnavailable, psycopg.Error) as error:
                self._log.warning(
                    "saga log cannot be written for now; trying again",
                    saga_id=str(saga_log.claim.saga_id),
                    error=str(error),
                    logs_waiting=len(self._queue) + 1,
                )
                self._queue.append(saga_log)  # it may be this one saga's row that is locked: let the others pass
                await trio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S

    async def _write(self, saga_log: PostgresSagaLog) -> None:
        batch = saga_log.batch()
        try:
            await self._pool.transaction(partial(write_batch, claim=saga_log.claim, batch=batch))
        except SagaError as error:
            saga_log.refuse(error)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            saga_log.refuse(WriteRefused(f"saga {saga_log.claim.saga_id}: the database refused a write: {error}"))
        else:
            if saga_log.written():
                self._queue.append(saga_log)


async def write_batch(connection: Connection, *, claim: Claim, batch: Sequence[StampedWrite]) -> None:
    """In a transaction, which may have been committed before. Raises SagaLost, or WriteRefused."""
    holding = await lock_saga(connection, claim.saga_id)
    ends = isinstance(batch[-1].write, StateUpdate) and batch[-1].write.state is StoredState.DONE
    if ends and holding.state is StoredState.DONE and holding.claim == claim.number:
        return  # by this batch, in a try that was thought to have failed
    holding.check_claim(claim)
    events: list[dict[str, object]] = []
    attempts: list[dict[str, object]] = []
    state: StoredState | None = None
    for stamped in batch:
        match stamped.write:
            case NodeEvent() as event:
                events.append(_event_row(claim, stamped, event))
            case NodeAttempt() as attempt:
                attempts.append(_attempt_row(claim, stamped, attempt))
            case StateUpdate(state):
                pass
    if events:
        await _insert_events(connection, claim, events)
    if attempts:
        await connection.cursor().executemany(INSERT_ATTEMPT, attempts)
    if state is not None:
        await connection.execute(UPDATE_STATE, (state, claim.saga_id))


async def _insert_events(connection: Connection, claim: Claim, rows: list[dict[str, object]]) -> None:
    cursor = connection.cursor()
    await cursor.executemany(INSERT_EVENT, rows)
    if cursor.rowcount == len(rows):
        return
    for row in rows:
        await cursor.execute(FIND_SAME_EVENT, row)
        if await cursor.fetchone() is None:
            raise WriteRefused(
                f"saga {claim.saga_id}: another event {row['kind']} of node {row['node_id']} is in the log already"
            )


def _event_row(claim: Claim, stamped: StampedWrite, event: NodeEvent) -> dict[str, object]:
    data = event.data_to_json()
    return {
        "saga_id": claim.saga_id,
        "node_id": event.node_id,
        "kind": event.kind,
        "data": None if data is None else data.decode(),
        "time": stamped.time,
        "sec_id": claim.sec_id,
        "claim": claim.number,
        "log_index": stamped.log_index,
    }


def _attempt_row(claim: Claim, stamped: StampedWrite, attempt: NodeAttempt) -> dict[str, object]:
    return {
        "saga_id": claim.saga_id,
        "node_id": attempt.node_id,
        "kind": attempt.kind,
        "attempt": attempt.attempt,
        "claim": claim.number,
        "time": stamped.time,
        "error": None if attempt.error is None else attempt.error.decode(),
    }
