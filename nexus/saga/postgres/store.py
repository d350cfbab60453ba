"""The durable `SecStore`: Postgres, or what speaks its protocol.

Tables `saga`, `saga_node_event`, `saga_claim` and `saga_node_attempt`, see `nexus/db/schema/`. Works at READ COMMITTED
and at any stricter isolation: each transaction is short, is run again on a serialization failure, and does no harm when
it is run again after a commit that was taken for a failure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import psycopg
import trio

from nexus.db.errors import DatabaseUnavailable
from nexus.saga.errors import (
    OutcomeUnknown,
    SagaLost,
    StoreUnavailable,
    WriteRefused,
)
from nexus.saga.ids import SagaId, SecId
from nexus.saga.postgres.adoption import abandon_orphans, adopt
from nexus.saga.postgres.claims import ClaimTaker
from nexus.saga.postgres.fence import lock_saga, read_holdings
from nexus.saga.postgres.loading import load_sagas
from nexus.saga.postgres.log_writer import LogWriter
from nexus.saga.postgres.together import Together
from nexus.saga.store import Claim, InProgressSaga, StoredState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.saga.logger import Logger
    from nexus.saga.postgres.claims import Transact
    from nexus.saga.postgres.log_writer import Guard
    from nexus.saga.store import Abandonment, AbandonReason, Adoption, NewSaga, SagaLogWriter, StoredSaga

T = TypeVar("T")

ABANDON = """
UPDATE saga
SET saga_state = 'abandoned', claim = claim + 1, abandon_time = %s, abandon_reason = %s, abandon_comment = %s
WHERE id = %s
"""

INSERT_CLAIM = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason) VALUES (%s, %s, %s, %s, %s, 'abandoned')
"""

LIST_IN_PROGRESS = """
SELECT id, name, saga_state FROM saga
WHERE current_sec = %s AND saga_state IN ('running', 'unwinding') AND id > %s
ORDER BY id LIMIT %s
"""

LIST_IN_PROGRESS_FROM_FIRST = """
SELECT id, name, saga_state FROM saga
WHERE current_sec = %s AND saga_state IN ('running', 'unwinding')
ORDER BY id LIMIT %s
"""


class PostgresSecStore:
    """Uses the pool's connections for as long as one transaction each.

    `guard` is called at the beginning of every transaction that claims, adopts or gives up sagas of others,
    `creation_guard` in every one that creates sagas, before it does. What they raise, a SagaError, is what `claim`,
    `adopt`, `abandon_orphans` or `create` raises. `creation_guard` refuses for good, and by what it locks: so once it
    has refused one no creation is under way any more, and it can be told of one in doubt whether it was made.
    """

    def __init__(
        self, pool: Pool, *, log: Logger, guard: Guard | None = None, creation_guard: Guard | None = None
    ) -> None:
        self._pool = pool
        self._guard = guard
        self._writer = LogWriter(pool, log=log, creation_guard=creation_guard)
        self._claims = ClaimTaker(self._guarded_by(guard))
        self._loads: Together[Claim, StoredSaga] = Together(
            lambda claims: load_sagas(self._transact, claims, writer=self._writer)
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await self._writer.run()

    async def create(self, saga: NewSaga) -> SagaLogWriter:
        return await self._writer.create(saga)

    async def claim(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        return await self._claims.take(saga_id, sec_id=sec_id)

    async def check_claims(self, claims: Sequence[Claim]) -> dict[Claim, SagaLost]:
        holdings = await self._transact(partial(read_holdings, saga_ids=[claim.saga_id for claim in claims]))
        lost: dict[Claim, SagaLost] = {}
        for claim in claims:
            holding = holdings.get(claim.saga_id)
            if holding is None:
                lost[claim] = SagaLost(claim.saga_id, "is not in the database any more")
                continue
            try:
                holding.check_newest(claim)
            except SagaLost as error:
                lost[claim] = error
        return lost

    async def load(self, claim: Claim) -> StoredSaga:
        return await self._loads.ask(claim)

    async def list_in_progress(self, sec_id: SecId, *, after: SagaId | None = None, limit: int) -> list[InProgressSaga]:
        async def read(connection: Connection) -> list[InProgressSaga]:
            if after is None:
                cursor = await connection.execute(LIST_IN_PROGRESS_FROM_FIRST, (sec_id, limit))
            else:
                cursor = await connection.execute(LIST_IN_PROGRESS, (sec_id, after, limit))
            return [InProgressSaga(SagaId(row[0]), row[1], StoredState(row[2])) for row in await cursor.fetchall()]

        return await self._transact(read)

    async def adopt(self, from_secs: Collection[SecId], *, sec_id: SecId, guard: Guard | None = None) -> Adoption:
        return await adopt(self._guarded_by(self._guard, guard), from_secs, sec_id=sec_id)

    async def abandon_orphans(
        self, orphaned_secs: Collection[SecId], *, sec_id: SecId, comment: str, guard: Guard | None = None
    ) -> Abandonment:
        return await abandon_orphans(
            self._guarded_by(self._guard, guard), orphaned_secs, sec_id=sec_id, comment=comment
        )

    async def abandon(self, claim: Claim, *, reason: AbandonReason, comment: str) -> None:
        time = datetime.now(UTC)
        taken = Claim(claim.saga_id, claim.sec_id, claim.adopt_generation, claim.number + 1)

        async def write(connection: Connection) -> None:
            holding = await lock_saga(connection, claim.saga_id)
            if holding.abandoned == (reason, comment) and holding.claim == taken.number:
                return  # by a try that was thought to have failed
            holding.check_claim(claim)
            await connection.execute(ABANDON, (time, reason, comment, claim.saga_id))
            row = claim.saga_id, taken.number, taken.sec_id, taken.adopt_generation, time
            await connection.execute(INSERT_CLAIM, row)

        await self._transact(write)

    def _guarded_by(self, *guards: Guard | None) -> Transact:
        async def transact(fn: Callable[[Connection], Awaitable[T]], /) -> T:
            async def run(connection: Connection) -> T:
                for guard in guards:
                    if guard is not None:
                        await guard(connection)
                return await fn(connection)

            return await self._transact(run)

        return transact

    async def _transact(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        """As `Pool.transaction`, telling what surely was not written from what may have been."""
        may_have_committed = False

        async def run(connection: Connection) -> T:
            nonlocal may_have_committed
            result = await fn(connection)
            may_have_committed = True
            return result

        try:
            return await self._pool.transaction(run)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise WriteRefused(f"the database refused a write: {error}") from error
        except (DatabaseUnavailable, psycopg.Error) as error:
            kind = OutcomeUnknown if may_have_committed else StoreUnavailable
            raise kind(str(error)) from error
