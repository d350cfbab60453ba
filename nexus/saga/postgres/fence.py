"""The fence: only the holder of the claim in force writes to a saga.

Every transaction that writes to a saga begins here, by locking the saga's row. Whoever takes a new claim, adopts or
abandons the saga updates that row, so the lock puts their transaction wholly before this one, and then the claim read
here is the new one, or wholly after it. FOR NO KEY UPDATE, because FOR SHARE would deadlock two holders that both go on
to update the row.

A saga whose row is locked, by whatever it may be, must not hold up the others that are written with it: a stopped
process holds it for seconds, a session of psql for as long as somebody looks at it. So several sagas are locked with
NOWAIT, and the locked ones found by halving. That takes 2 % of a batch while none is locked, and 1 to 7 ms for each of
256 that is. Waiting with `lock_timeout` would take that timeout again in each half that is not free: 0.9 s for one
saga, at 100 ms. SKIP LOCKED would tell them apart in one statement, but CockroachDB lacks it before 22.2. What never
waits needs no order.

A process that is stopped in the middle of such a transaction keeps its locks until the server ends that, after the 5 s
that every connection has for a transaction (`nexus/db/connection.py`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from nexus.saga.errors import SagaLost, SagaNotFound
from nexus.saga.ids import SagaId, SecId
from nexus.saga.store import IN_PROGRESS, StoredState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from psycopg.rows import TupleRow

    from nexus.db.connection import Connection
    from nexus.saga.store import Claim

HOLDING = "id, current_sec, adopt_generation, claim, saga_state, abandon_reason, abandon_comment"

LOCK = f"SELECT {HOLDING} FROM saga WHERE id = %s FOR NO KEY UPDATE"

READ = f"SELECT {HOLDING} FROM saga WHERE id = ANY(%s)"

# Never released: an update by another subtransaction than the one that has locked the row would make a multixact.
SAVEPOINT = "SAVEPOINT locking"
ROLLBACK_TO_SAVEPOINT = "ROLLBACK TO SAVEPOINT locking"

MOST_REFUSALS = 500
"""Looking for free rows among a great many that are locked has to end well before `transaction_timeout`."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Who may write to a saga, and whether anybody may."""

    saga_id: SagaId
    current_sec: SecId | None
    adopt_generation: int
    claim: int
    state: StoredState
    abandoned: tuple[str | None, str | None]
    """Reason and comment."""

    def check_owner(self, sec_id: SecId) -> None:
        """Raises SagaLost unless the saga is in progress and assigned to `sec_id`."""
        self._check_assigned(sec_id)
        if self.state not in IN_PROGRESS:
            raise SagaLost(self.saga_id, f"is {self.state}", owner=self.current_sec)

    def check_claim(self, claim: Claim) -> None:
        """Raises SagaLost unless that claim is in force and the saga in progress."""
        self.check_owner(claim.sec_id)
        self.check_newest(claim)

    def check_newest(self, claim: Claim) -> None:
        """Raises SagaLost if another claim was taken after that one."""
        self._check_assigned(claim.sec_id)
        if (self.adopt_generation, self.claim) != (claim.adopt_generation, claim.number):
            raise SagaLost(
                self.saga_id,
                f"was claimed again: its claim is {self.claim}, not {claim.number}",
                owner=self.current_sec,
            )

    def _check_assigned(self, sec_id: SecId) -> None:
        if self.current_sec != sec_id:
            whom = f"SEC {self.current_sec}" if self.current_sec else "no SEC"
            raise SagaLost(self.saga_id, f"is assigned to {whom}, not to {sec_id}", owner=self.current_sec)


async def lock_saga(connection: Connection, saga_id: SagaId) -> Holding:
    """Lock the saga's row until the end of the transaction. Raises SagaNotFound."""
    row = await (await connection.execute(LOCK, (saga_id,))).fetchone()
    if row is None:
        raise SagaNotFound(saga_id)
    return _holding(row)


async def lock_free_sagas(
    connection: Connection, saga_ids: Sequence[SagaId]
) -> tuple[dict[SagaId, Holding], frozenset[SagaId]]:
    """Lock the rows that nobody else has locked; never waits. Also returns those that it did not lock.

    What is in neither does not exist. Where a great many are locked it gives up, and leaves free ones, too: others at
    each call.
    """
    rows, locked = await lock_free_rows(connection, READ, saga_ids)
    return {holding.saga_id: holding for holding in map(_holding, rows)}, locked


async def lock_free_rows(
    connection: Connection, query: LiteralString, saga_ids: Sequence[SagaId]
) -> tuple[list[TupleRow], frozenset[SagaId]]:
    """As `lock_free_sagas`, with what this query for `saga` says of `id = ANY(%s)`."""
    free: list[TupleRow] = []
    left: set[SagaId] = set()
    undecided = [random.sample(saga_ids, len(saga_ids))]
    refusals = 0
    while undecided:
        some = undecided.pop()
        if refusals == MOST_REFUSALS:
            left.update(some)
            continue
        try:
            async with connection.pipeline():
                await connection.execute(SAVEPOINT)
                cursor = await connection.execute(f"{query} FOR NO KEY UPDATE NOWAIT", (some,))
            free += await cursor.fetchall()
        except psycopg.errors.LockNotAvailable:
            await connection.execute(ROLLBACK_TO_SAVEPOINT)
            refusals += 1
            middle = len(some) // 2
            if middle:
                undecided += some[:middle], some[middle:]
            else:
                left.update(some)
    return free, frozenset(left)


async def read_holdings(connection: Connection, saga_ids: Sequence[SagaId]) -> dict[SagaId, Holding]:
    """As they are now, without a lock: what is superseded stays so, the rest may change at once."""
    cursor = await connection.execute(READ, (list(saga_ids),))
    return {holding.saga_id: holding for holding in map(_holding, await cursor.fetchall())}


def _holding(row: TupleRow) -> Holding:
    saga_id, current_sec, adopt_generation, claim, state, abandon_reason, abandon_comment = row
    return Holding(
        saga_id=SagaId(saga_id),
        current_sec=current_sec and SecId(current_sec),
        adopt_generation=adopt_generation,
        claim=claim,
        state=StoredState(state),
        abandoned=(abandon_reason, abandon_comment),
    )
