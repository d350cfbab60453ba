"""Takes claims, those that are asked for at the same time in one transaction.

Nobody waits for a lock in a transaction: with many locked sagas that would take all connections. Whoever asked for a
saga whose row is locked by somebody else asks again, together with the others, until the patience runs out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from nexus.saga.errors import SagaError, SagaNotFound, StoreUnavailable
from nexus.saga.postgres.fence import lock_free_sagas
from nexus.saga.postgres.together import Together
from nexus.saga.store import Claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Protocol, TypeAlias, TypeVar

    from nexus.db.connection import Connection
    from nexus.saga.ids import SagaId, SecId
    from nexus.saga.postgres.fence import Holding

    T = TypeVar("T")

    class Transact(Protocol):
        """As `Pool.transaction`, but raises SagaError only."""

        def __call__(self, fn: Callable[[Connection], Awaitable[T]], /) -> Awaitable[T]: ...

    Asked: TypeAlias = tuple[SagaId, SecId]


PATIENCE_S = 6.0
"""Longer than a stopped process can hold a lock, see `fence.py`."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 0.5

RAISE_CLAIMS = "UPDATE saga SET claim = claim + 1 WHERE id = ANY(%s)"

INSERT_CLAIMS = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason)
SELECT id, claim, current_sec, adopt_generation, %s, 'recovered' FROM saga WHERE id = ANY(%s)
"""


class ClaimTaker:
    """Takes the claims of those sagas together that nobody else has locked."""

    def __init__(self, transact: Transact) -> None:
        self._free: Together[Asked, Claim | None] = Together(
            lambda batch: transact(lambda connection: _take_free(connection, batch))
        )

    async def take(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        """As `SecStore.claim`. Cancelled, it leaves the claim taken or not, as in a crash."""
        give_up_at = trio.current_time() + PATIENCE_S
        pause_s = FIRST_PAUSE_S
        while (claim := await self._free.ask((saga_id, sec_id))) is None:
            if trio.current_time() + pause_s > give_up_at:
                raise StoreUnavailable(f"saga {saga_id} is locked by somebody else")
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return claim


async def _take_free(connection: Connection, batch: Sequence[Asked]) -> list[Claim | SagaError | None]:
    """None for a saga that is locked, or that is twice in the batch."""
    free, locked = await lock_free_sagas(connection, [saga_id for saga_id, _ in batch])
    claims: dict[SagaId, Claim] = {}
    answers: list[Claim | SagaError | None] = []
    for saga_id, sec_id in batch:
        if saga_id in locked or saga_id in claims:
            answers.append(None)
        elif saga_id not in free:
            answers.append(SagaNotFound(saga_id))
        else:
            try:
                claims[saga_id] = _next_claim(free[saga_id], sec_id)
                answers.append(claims[saga_id])
            except SagaError as error:
                answers.append(error)
    await _write(connection, list(claims.values()))
    return answers


def _next_claim(holding: Holding, sec_id: SecId) -> Claim:
    """Raises SagaLost."""
    holding.check_owner(sec_id)
    return Claim(holding.saga_id, sec_id, holding.adopt_generation, holding.claim + 1)


async def _write(connection: Connection, claims: Sequence[Claim]) -> None:
    if not claims:
        return
    saga_ids = [claim.saga_id for claim in claims]
    async with connection.pipeline():
        await connection.execute(RAISE_CLAIMS, (saga_ids,))
        await connection.execute(INSERT_CLAIMS, (datetime.now(UTC), saga_ids))
