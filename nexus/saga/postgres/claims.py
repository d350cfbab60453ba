"""Takes claims: those that are asked for while one transaction is under way share the next one.

Without that a process that recovers a thousand sagas would wait for a thousand commits. A saga whose row is locked by
somebody else is left to its own asker, who waits for it in a transaction of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from nexus.saga.errors import SagaError, SagaNotFound
from nexus.saga.postgres.fence import lock_free_sagas, lock_saga
from nexus.saga.store import Claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Protocol, TypeVar

    from nexus.db.connection import Connection
    from nexus.saga.ids import SagaId, SecId
    from nexus.saga.postgres.fence import Holding

    T = TypeVar("T")

    class Transact(Protocol):
        """As `Pool.transaction`, but raises SagaError only."""

        def __call__(self, fn: Callable[[Connection], Awaitable[T]], /) -> Awaitable[T]: ...


RAISE_CLAIMS = "UPDATE saga SET claim = claim + 1 WHERE id = ANY(%s)"

INSERT_CLAIM = """
INSERT INTO saga_claim (saga_id, claim, sec_id, adopt_generation, time, reason) VALUES (%s, %s, %s, %s, %s, %s)
"""


class _Asked:
    """For one claim. `answer` is None if the saga is locked."""

    __slots__ = ("answer", "answered", "saga_id", "sec_id")

    def __init__(self, saga_id: SagaId, sec_id: SecId) -> None:
        self.saga_id = saga_id
        self.sec_id = sec_id
        self.answered = False
        self.answer: Claim | SagaError | None = None

    def reply(self, answer: Claim | SagaError | None) -> None:
        self.answer = answer
        self.answered = True


class ClaimTaker:
    """Whoever comes first to the lock takes the claims of all who wait for it."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact
        self._asked: list[_Asked] = []
        self._taking = trio.Lock()

    async def take(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        """As `SecStore.claim`. Cancelled, it leaves the claim taken or not, as in a crash."""
        asked = _Asked(saga_id, sec_id)
        self._asked.append(asked)
        try:
            async with self._taking:
                while not asked.answered:
                    await self._take_together()
        finally:
            if asked in self._asked:
                self._asked.remove(asked)
        if asked.answer is None:
            return await self._transact(lambda connection: _take_one(connection, asked))
        if isinstance(asked.answer, SagaError):
            raise asked.answer
        return asked.answer

    async def _take_together(self) -> None:
        together: dict[SagaId, _Asked] = {}
        for asked in self._asked:
            together.setdefault(asked.saga_id, asked)  # a second claim of one saga is for the next transaction
        self._asked = [asked for asked in self._asked if together[asked.saga_id] is not asked]
        batch = list(together.values())
        try:
            answers = await self._transact(lambda connection: _take_free(connection, batch))
        except SagaError as error:
            answers = [error for _ in batch]
        except BaseException:
            self._asked[:0] = batch  # for the next who comes to the lock
            raise
        for asked, answer in zip(batch, answers, strict=True):
            asked.reply(answer)


async def _take_one(connection: Connection, asked: _Asked) -> Claim:
    claim = _next_claim(await lock_saga(connection, asked.saga_id), asked.sec_id)
    await _write(connection, [claim])
    return claim


async def _take_free(connection: Connection, batch: Sequence[_Asked]) -> list[Claim | SagaError | None]:
    free, locked = await lock_free_sagas(connection, [asked.saga_id for asked in batch])
    answers: list[Claim | SagaError | None] = []
    for asked in batch:
        try:
            if asked.saga_id in locked:
                answers.append(None)
            elif asked.saga_id in free:
                answers.append(_next_claim(free[asked.saga_id], asked.sec_id))
            else:
                answers.append(SagaNotFound(asked.saga_id))
        except SagaError as error:
            answers.append(error)
    await _write(connection, [answer for answer in answers if isinstance(answer, Claim)])
    return answers


def _next_claim(holding: Holding, sec_id: SecId) -> Claim:
    """Raises SagaLost."""
    holding.check_owner(sec_id)
    return Claim(holding.saga_id, sec_id, holding.adopt_generation, holding.claim + 1)


async def _write(connection: Connection, claims: Sequence[Claim]) -> None:
    if not claims:
        return
    await connection.execute(RAISE_CLAIMS, ([claim.saga_id for claim in claims],))
    now = datetime.now(UTC)
    await connection.cursor().executemany(
        INSERT_CLAIM,
        [(claim.saga_id, claim.number, claim.sec_id, claim.adopt_generation, now, "recovered") for claim in claims],
    )
