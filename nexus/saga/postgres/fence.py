"""The fence: only the holder of the claim in force writes to a saga.

Every transaction that writes to a saga begins here, by locking the saga's row. Whoever takes a new claim, adopts or
abandons the saga updates that row, so the lock puts their transaction wholly before this one, and then the claim read
here is the new one, or wholly after it. FOR NO KEY UPDATE, because FOR SHARE would deadlock two holders that both go on
to update the row.

A process that is stopped in the middle of such a transaction keeps its locks as long as the server lets it, hence
`transaction_timeout` (`idle_in_transaction_session_timeout` does not fire while a statement's answer is unread).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.saga.errors import SagaLost, SagaNotFound
from nexus.saga.ids import SagaId, SecId
from nexus.saga.store import IN_PROGRESS, StoredState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import TupleRow

    from nexus.db.connection import Connection
    from nexus.saga.store import Claim

FREE_THE_LOCKS_OF_A_STOPPED_PROCESS = "SET LOCAL transaction_timeout = '5s'"

HOLDING = "id, current_sec, adopt_generation, claim, saga_state, abandon_reason, abandon_comment"

LOCK = f"SELECT {HOLDING} FROM saga WHERE id = %s FOR NO KEY UPDATE"

# One saga whose row is locked, by whatever it may be, must not hold up all others.
LOCK_THOSE_FREE = f"SELECT {HOLDING} FROM saga WHERE id = ANY(%s) FOR NO KEY UPDATE SKIP LOCKED"

READ = f"SELECT {HOLDING} FROM saga WHERE id = ANY(%s)"

FIND = "SELECT id FROM saga WHERE id = ANY(%s)"


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
    async with connection.pipeline():
        await connection.execute(FREE_THE_LOCKS_OF_A_STOPPED_PROCESS)
        cursor = await connection.execute(LOCK, (saga_id,))
    row = await cursor.fetchone()
    if row is None:
        raise SagaNotFound(saga_id)
    return _holding(row)


async def lock_free_sagas(
    connection: Connection, saga_ids: Sequence[SagaId]
) -> tuple[dict[SagaId, Holding], frozenset[SagaId]]:
    """Lock the rows that nobody else has locked; never waits. Also returns which are locked by somebody else.

    What is in neither does not exist. As it never waits, it needs no order.
    """
    async with connection.pipeline():
        await connection.execute(FREE_THE_LOCKS_OF_A_STOPPED_PROCESS)
        cursor = await connection.execute(LOCK_THOSE_FREE, (list(saga_ids),))
    free = {holding.saga_id: holding for holding in map(_holding, await cursor.fetchall())}
    missing = [saga_id for saga_id in saga_ids if saga_id not in free]
    if not missing:
        return free, frozenset()
    found = await (await connection.execute(FIND, (missing,))).fetchall()
    return free, frozenset(SagaId(row[0]) for row in found)


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
