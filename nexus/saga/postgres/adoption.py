"""Adoption: one SEC takes over all sagas in progress of others, whatever those others are still doing.

Rows are taken in batches, in the order of their ids. One that is locked is passed over at first: a SEC that was stopped
in the middle of a transaction holds on to its rows until the server ends that transaction, 5 s after its start. What is
still locked when the patience has run out is reported, not waited for.

Nobody is recovered by this, that is the next pass of recovery. A SEC that lives on notices, by the fence or when it
checks its claims, that its sagas are lost; one that it creates afterwards is its own, until the next adoption.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import psycopg
import trio

from nexus.saga.errors import StoreUnavailable
from nexus.saga.ids import SagaId
from nexus.saga.postgres.fence import FREE_THE_LOCKS_OF_A_STOPPED_PROCESS, lock_free_rows
from nexus.saga.store import Adoption

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from typing import TypeVar

    from nexus.db.connection import Connection
    from nexus.saga.ids import SecId

    T = TypeVar("T")

BATCH = 500
"""Sagas in one transaction, so that their rows are locked for some tens of milliseconds only."""

PATIENCE_S = 10.0
"""Twice as long as a stopped process can hold a lock, see `fence.py`."""

WAIT_FOR_A_LOCK = "SET LOCAL lock_timeout = '1s'"

LIST_ADOPTABLE = """
SELECT id FROM saga
WHERE current_sec = ANY(%(from)s) AND saga_state IN ('running', 'unwinding')
  AND (%(after)s::uuid IS NULL OR id > %(after)s)
ORDER BY id LIMIT %(limit)s
"""

READ = "SELECT id, current_sec, adopt_time FROM saga WHERE id = ANY(%s) AND saga_state IN ('running', 'unwinding')"

ADOPT = """
UPDATE saga SET current_sec = %s, adopt_time = %s, adopt_generation = adopt_generation + 1, claim = claim + 1
WHERE id = ANY(%s)
"""

INSERT_CLAIMS = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason)
SELECT id, claim, current_sec, adopt_generation, adopt_time, 'adopted' FROM saga WHERE id = ANY(%s)
"""

FIND_LOCKED = """
SELECT id FROM saga
WHERE id = ANY(%s) AND current_sec = ANY(%s) AND saga_state IN ('running', 'unwinding')
ORDER BY id
"""


class Transact(Protocol):
    """As `Pool.transaction`, but raises StoreUnavailable from what psycopg raised."""

    def __call__(self, fn: Callable[[Connection], Awaitable[T]], /) -> Awaitable[T]: ...


async def adopt(transact: Transact, from_secs: Collection[SecId], *, sec_id: SecId) -> Adoption:
    """May be repeated; what has moved stays where it is."""
    others = [other for other in from_secs if other != sec_id]
    take = partial(_take, others=others, sec_id=sec_id, time=datetime.now(UTC))
    moved: list[SagaId] = []
    locked: list[SagaId] = []
    after: SagaId | None = None
    while page := await transact(partial(_list, others=others, after=after)):
        after = page[-1]
        taken = await transact(partial(take, saga_ids=page, waits=False))
        moved += taken
        locked += await transact(partial(_still_theirs, others=others, saga_ids=set(page).difference(taken)))
    give_up_at = trio.current_time() + PATIENCE_S
    while locked and trio.current_time() < give_up_at:
        try:
            moved += await transact(partial(take, saga_ids=locked[:1], waits=True))
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
        for start in range(0, len(locked), BATCH):
            moved += await transact(partial(take, saga_ids=locked[start : start + BATCH], waits=False))
        locked = await transact(partial(_still_theirs, others=others, saga_ids=locked))
    return Adoption(moved=tuple(sorted(set(moved))), not_moved=tuple(locked))


async def _list(connection: Connection, *, others: Sequence[SecId], after: SagaId | None) -> list[SagaId]:
    cursor = await connection.execute(LIST_ADOPTABLE, {"from": list(others), "after": after, "limit": BATCH})
    return [SagaId(row[0]) for row in await cursor.fetchall()]


async def _take(
    connection: Connection,
    *,
    saga_ids: Sequence[SagaId],
    others: Sequence[SecId],
    sec_id: SecId,
    time: datetime,
    waits: bool,
) -> list[SagaId]:
    """Those that are this SEC's now by this adoption, in this try or in one that was thought to have failed."""
    if waits:
        await connection.execute(FREE_THE_LOCKS_OF_A_STOPPED_PROCESS)
        await connection.execute(WAIT_FOR_A_LOCK)
        cursor = await connection.execute(f"{READ} ORDER BY id FOR NO KEY UPDATE", (list(saga_ids),))
        rows = await cursor.fetchall()
    else:
        rows, _ = await lock_free_rows(connection, READ, saga_ids)
    taking = [row[0] for row in rows if row[1] in others]
    if taking:
        await connection.execute(ADOPT, (sec_id, time, taking))
        await connection.execute(INSERT_CLAIMS, (taking,))
    return [SagaId(row[0]) for row in rows if row[1] in others or (row[1], row[2]) == (sec_id, time)]


async def _still_theirs(
    connection: Connection, *, others: Sequence[SecId], saga_ids: Collection[SagaId]
) -> list[SagaId]:
    if not saga_ids:
        return []
    cursor = await connection.execute(FIND_LOCKED, (list(saga_ids), list(others)))
    return [SagaId(row[0]) for row in await cursor.fetchall()]
