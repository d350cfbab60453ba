"""The store in memory, watched: who took the saga when, and what was written after that.

Its questions and its answers are on their way as long as `lag`; the answer to a creation is lost when `loses` says so,
and the creation is in doubt then. `piecemeal` makes its logs durable one write at a time, as a store may: then a crash
leaves any prefix.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from nexus.saga.errors import OutcomeUnknown
from nexus.saga.store import InMemorySecStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from nexus.saga.errors import SagaError, SagaLost
    from nexus.saga.ids import SagaId, SecId
    from nexus.saga.store import Adoption, Claim, Guard, LogWrite, NewSaga, SagaLogWriter, StoredRow, StoredSaga


class WatchedStore(InMemorySecStore):
    def __init__(self, *, piecemeal: bool, lag: Callable[[], Awaitable[None]], loses: Callable[[], bool]) -> None:
        super().__init__()
        self._lag = lag
        self._loses = loses
        self._piecemeal = piecemeal
        self._takings: list[tuple[SagaId, int, int, int]] = []

    async def create(self, saga: NewSaga) -> SagaLogWriter:
        await self._lag()
        log = await super().create(saga)
        await self._lag()
        if self._loses():
            raise OutcomeUnknown("the answer was lost")
        return self._log(log)

    async def load(self, claim: Claim) -> StoredSaga:
        await self._lag()
        stored = await super().load(claim)
        await self._lag()
        return replace(stored, log=self._log(stored.log))

    async def claim(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        await self._lag()
        claim = await super().claim(saga_id, sec_id=sec_id)
        self._note_taking(saga_id)
        await self._lag()
        return claim

    async def adopt(self, from_secs: Collection[SecId], *, sec_id: SecId, guard: Guard | None = None) -> Adoption:
        adoption = await super().adopt(from_secs, sec_id=sec_id, guard=guard)
        for saga_id in adoption.moved:
            self._note_taking(saga_id)
        return adoption

    def check_fence(self) -> None:
        """G4: once a claim was taken, nothing was written under an older one."""
        for saga_id, claim, events, attempts in self._takings:
            row = self.rows[saga_id]
            for number, write in [*row.events[events:], *row.attempts[attempts:]]:
                assert number >= claim, f"{write} written under claim {number} after claim {claim} was taken"
        for row in self.rows.values():
            assert [number for number, _ in row.events] == sorted(number for number, _ in row.events)

    def has_written(self, row: StoredRow, claim: int) -> bool:
        return any(claim == written for written, _ in [*row.events, *row.attempts])

    def _note_taking(self, saga_id: SagaId) -> None:
        """In the same step as the taking itself: nobody else has had a turn."""
        row = self.rows[saga_id]
        self._takings.append((saga_id, len(row.claims), len(row.events), len(row.attempts)))

    def _log(self, log: SagaLogWriter) -> SagaLogWriter:
        return PiecemealLog(log) if self._piecemeal else log


class PiecemealLog:
    def __init__(self, log: SagaLogWriter) -> None:
        self.claim = log.claim
        self._log = log
        self._queue: deque[LogWrite] = deque()
        self._refusal: SagaError | None = None
        self._callback: Callable[[SagaError], None] | None = None
        log.on_refused(self._refused)

    def on_refused(self, callback: Callable[[SagaError], None], /) -> None:
        self._callback = callback
        if self._refusal is not None:
            callback(self._refusal)

    def refuse(self, error: SagaLost, /) -> None:
        self._log.refuse(error)

    def enqueue(self, write: LogWrite, /) -> None:
        if self._refusal is not None:
            raise self._refusal
        self._queue.append(write)

    async def durable(self) -> None:
        while self._queue:
            self._log.enqueue(self._queue.popleft())
            await self._log.durable()
        await self._log.durable()  # what another task has taken from the queue

    def _refused(self, error: SagaError) -> None:
        self._refusal = error
        if self._callback is not None:
            self._callback(error)
