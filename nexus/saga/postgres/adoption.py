"""Adoption: one SEC takes over all sagas in progress of others, whatever those others are still doing. Or it gives all
of them up, where nobody can run them any more.

Rows are taken in batches, in the order of their ids. One that is locked is passed over at first: a SEC that was stopped
in the middle of a transaction holds on to its rows until the server ends that transaction, 5 s after its start. What is
still locked when the patience has run out is reported, not waited for.

Nobody is recovered by this, that is the next pass of recovery. A SEC that lives on notices, by the fence or when it
checks its claims, that its sagas are lost; one that it creates afterwards is its own, until the next adoption.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import psycopg
import trio

from nexus.saga.errors import StoreUnavailable
from nexus.saga.ids import SagaId, SecId
from nexus.saga.postgres.fence import lock_free_rows
from nexus.saga.store import IN_PROGRESS, Abandonment, Adoption, StoredState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from typing import TypeVar

    from psycopg.rows import TupleRow

    from nexus.db.connection import Connection

    T = TypeVar("T")

BATCH = 500
"""Sagas in one transaction, so that their rows are locked for some tens of milliseconds only."""

PATIENCE_S = 10.0
"""Twice as long as a stopped process can hold a lock, see `fence.py`."""

WAIT_FOR_A_LOCK = "SET LOCAL lock_timeout = '1s'"

LIST_IN_PROGRESS = """
SELECT id, current_sec FROM saga
WHERE current_sec = ANY(%(from)s) AND saga_state IN ('running', 'unwinding')
  AND (%(after)s::uuid IS NULL OR id > %(after)s)
ORDER BY id LIMIT %(limit)s
"""

READ = "SELECT id, current_sec, saga_state, adopt_time, abandon_time FROM saga WHERE id = ANY(%s)"

ADOPT = """
UPDATE saga SET current_sec = %s, adopt_time = %s, adopt_generation = adopt_generation + 1, claim = claim + 1
WHERE id = ANY(%s)
"""

ABANDON = """
UPDATE saga
SET saga_state = 'abandoned', claim = claim + 1, abandon_time = %s, abandon_reason = 'orphaned', abandon_comment = %s
WHERE id = ANY(%s)
"""

INSERT_CLAIMS = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason)
SELECT id, claim, %s, adopt_generation, %s, %s FROM saga WHERE id = ANY(%s)
"""

FIND_LOCKED = """
SELECT id FROM saga
WHERE id = ANY(%s) AND current_sec = ANY(%s) AND saga_state IN ('running', 'unwinding')
ORDER BY id
"""


class Transact(Protocol):
    """As `Pool.transaction`, but raises StoreUnavailable from what psycopg raised."""

    def __call__(self, fn: Callable[[Connection], Awaitable[T]], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class _Adopting:
    sec_id: SecId
    time: datetime

    async def take(self, connection: Connection, saga_ids: Sequence[SagaId]) -> None:
        await connection.execute(ADOPT, (self.sec_id, self.time, saga_ids))
        await connection.execute(INSERT_CLAIMS, (self.sec_id, self.time, "adopted", saga_ids))

    def has_taken(self, row: TupleRow) -> bool:
        """In a try that was thought to have failed."""
        _, current_sec, _, adopt_time, _ = row
        return (current_sec, adopt_time) == (self.sec_id, self.time)


@dataclass(frozen=True, slots=True)
class _Abandoning:
    sec_id: SecId
    time: datetime
    comment: str

    async def take(self, connection: Connection, saga_ids: Sequence[SagaId]) -> None:
        await connection.execute(ABANDON, (self.time, self.comment, saga_ids))
        await connection.execute(INSERT_CLAIMS, (self.sec_id, self.time, "abandoned", saga_ids))

    def has_taken(self, row: TupleRow) -> bool:
        _, _, _, _, abandon_time = row
        return bool(abandon_time == self.time)


async def adopt(transact: Transact, from_secs: Collection[SecId], *, sec_id: SecId) -> Adoption:
    """May be repeated; what has moved stays where it is."""
    others = [other for other in from_secs if other != sec_id]
    taken, left = await _take_all(transact, others, _Adopting(sec_id, datetime.now(UTC)))
    return Adoption(tuple(taken), left, from_secs=tuple(sorted(set(taken.values()))))


async def abandon_orphans(
    transact: Transact, orphaned_secs: Collection[SecId], *, sec_id: SecId, comment: str
) -> Abandonment:
    """May be repeated."""
    others = [other for other in orphaned_secs if other != sec_id]
    taken, left = await _take_all(transact, others, _Abandoning(sec_id, datetime.now(UTC), comment))
    return Abandonment(tuple(taken), left)


async def _take_all(
    transact: Transact, others: Sequence[SecId], taking: _Adopting | _Abandoning
) -> tuple[dict[SagaId, SecId], tuple[SagaId, ...]]:
    """What was taken, with whose it was, and what is still in progress elsewhere, both by id."""
    take = partial(_take, others=others, taking=taking)
    owners: dict[SagaId, SecId] = {}
    taken: list[SagaId] = []
    locked: list[SagaId] = []
    after: SagaId | None = None
    while found := await transact(partial(_list, others=others, after=after)):
        owners |= found
        page = list(found)
        after = page[-1]
        of_page = await transact(partial(take, saga_ids=page, waits=False))
        taken += of_page
        locked += await transact(partial(_still_theirs, others=others, saga_ids=set(page).difference(of_page)))
    give_up_at = trio.current_time() + PATIENCE_S
    while locked and trio.current_time() < give_up_at:
        try:
            taken += await transact(partial(take, saga_ids=locked[:1], waits=True))
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
        for start in range(0, len(locked), BATCH):
            taken += await transact(partial(take, saga_ids=locked[start : start + BATCH], waits=False))
        locked = await transact(partial(_still_theirs, others=others, saga_ids=locked))
    return {saga_id: owners[saga_id] for saga_id in sorted(set(taken))}, tuple(locked)


async def _list(connection: Connection, *, others: Sequence[SecId], after: SagaId | None) -> dict[SagaId, SecId]:
    """A page, in the order of ids, with whose they are."""
    cursor = await connection.execute(LIST_IN_PROGRESS, {"from": list(others), "after": after, "limit": BATCH})
    return {SagaId(saga_id): SecId(current_sec) for saga_id, current_sec in await cursor.fetchall()}


async def _take(
    connection: Connection,
    *,
    saga_ids: Sequence[SagaId],
    others: Sequence[SecId],
    taking: _Adopting | _Abandoning,
    waits: bool,
) -> list[SagaId]:
    """Those that are taken now, by this try or by one that was thought to have failed."""
    if waits:
        await connection.execute(WAIT_FOR_A_LOCK)
        cursor = await connection.execute(f"{READ} ORDER BY id FOR NO KEY UPDATE", (list(saga_ids),))
        rows = await cursor.fetchall()
    else:
        rows, _ = await lock_free_rows(connection, READ, saga_ids)
    theirs = [SagaId(row[0]) for row in rows if row[1] in others and StoredState(row[2]) in IN_PROGRESS]
    if theirs:
        await taking.take(connection, theirs)
    return [*theirs, *(SagaId(row[0]) for row in rows if taking.has_taken(row))]


async def _still_theirs(
    connection: Connection, *, others: Sequence[SecId], saga_ids: Collection[SagaId]
) -> list[SagaId]:
    if not saga_ids:
        return []
    cursor = await connection.execute(FIND_LOCKED, (list(saga_ids), list(others)))
    return [SagaId(row[0]) for row in await cursor.fetchall()]
