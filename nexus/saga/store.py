"""Where sagas outlive their process: the `SecStore` protocol, and a store in memory.

What every store promises (`tests/integration/saga/test_store_contract.py` holds them all to it):

- A saga's log takes writes under one *claim* only. `create` makes the first; every `claim` makes a new one, which is
  committed when it returns, and from then on whoever held an older one gets SagaLost for anything it enqueues or
  waits for, and nothing of it is written.
- `check_claims` tells which claims are not in force any more, also to a holder that has nothing to write.
- `load` reads what was written up to the claim: the DAG, all events, the attempts.
- `SagaLogWriter.enqueue` is first in, first out for one saga. What is durable after a crash is a prefix of that.
- `durable` returns once everything enqueued before the call is durable, whatever happens to the store meanwhile: a
  store that is away is waited for. Cancelling the wait does not cancel the write.
- `create`, `claim`, `check_claims`, `load`, `list_in_progress`, `adopt`, `abandon_orphans` and `abandon` are bounded
  in time: StoreUnavailable says that nothing was written, its subclass OutcomeUnknown that it cannot be told. All of
  them may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import trio

from nexus.saga.errors import SagaExists, SagaLost, SagaNotFound, StoreUnavailable
from nexus.saga.log import NodeEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from datetime import datetime

    from nexus.saga.errors import SagaError
    from nexus.saga.ids import NodeId, SagaId, SecId
    from nexus.saga.payload import Payload


class StoredState(StrEnum):
    """A saga's state in a store. A stuck saga is `done`: its log says how it ended."""

    RUNNING = "running"
    UNWINDING = "unwinding"
    DONE = "done"
    ABANDONED = "abandoned"


IN_PROGRESS = frozenset({StoredState.RUNNING, StoredState.UNWINDING})

AbandonReason: TypeAlias = Literal["omdb", "unrecoverable", "orphaned"]

CallKind: TypeAlias = Literal["action", "undo"]

Guard: TypeAlias = "Callable[[Any], Awaitable[None]]"
"""Asked at the beginning of a transaction of the store, with what that is there: a connection with the database, the
store itself in memory. Raises what speaks against the transaction.
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write one saga's log. `number` rises with each; actions hand it on as a fencing token."""

    saga_id: SagaId
    sec_id: SecId
    adopt_generation: int
    number: int


@dataclass(frozen=True, slots=True)
class NewSaga:
    """`time_created` tells one creation from another of the same id, so it is the same in every try."""

    saga_id: SagaId
    sec_id: SecId
    name: str
    dag: bytes
    time_created: datetime


@dataclass(frozen=True, slots=True)
class NodeAttempt:
    """A call of an action or an undo action that ended without an event in the log.

    With `error`: the call raised it, and it is transient, so there will be another. Without: the process that made
    the call died, and this is written by the one that will repeat it. `attempt` counts the calls of that node and
    kind from 1.
    """

    saga_id: SagaId
    node_id: NodeId
    kind: CallKind
    attempt: int
    error: Payload | None = None


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """Also says which sagas are in progress: after DONE nothing more is written."""

    state: Literal[StoredState.UNWINDING, StoredState.DONE]


LogWrite: TypeAlias = NodeEvent | NodeAttempt | StateUpdate


class SagaLogWriter(Protocol):
    """The end of one saga's log, as the holder of a claim may write it."""

    @property
    def claim(self) -> Claim: ...

    def on_refused(self, callback: Callable[[SagaError], None], /) -> None:
        """Call it, once, when a write of this saga was refused for good, also if nobody waits for it.

        The error is SagaLost or WriteRefused; `enqueue` and `durable` raise it from then on. If it has happened
        already, this calls it.
        """

    def refuse(self, error: SagaLost, /) -> None:
        """The claim is known to be lost. Write nothing more, and tell `on_refused`."""

    def enqueue(self, write: LogWrite, /) -> None:
        """Write it in the background. Raises what `on_refused` tells, if that has happened."""

    async def durable(self) -> None:
        """Wait until everything enqueued so far is durable. Raises what `on_refused` tells."""


@dataclass(frozen=True, slots=True)
class StoredSaga:
    """What a recovery needs."""

    state: StoredState
    dag: bytes
    events: tuple[NodeEvent, ...]
    attempts: tuple[NodeAttempt, ...]
    log: SagaLogWriter


@dataclass(frozen=True, slots=True)
class Adoption:
    """By id. What was not moved is in progress and locked by somebody: adopt again."""

    moved: tuple[SagaId, ...]
    not_moved: tuple[SagaId, ...] = ()
    from_secs: tuple[SecId, ...] = ()
    """Who had what was moved."""


@dataclass(frozen=True, slots=True)
class Abandonment:
    """By id, likewise."""

    abandoned: tuple[SagaId, ...]
    not_abandoned: tuple[SagaId, ...] = ()


@dataclass(frozen=True, slots=True)
class InProgressSaga:
    saga_id: SagaId
    name: str
    state: StoredState


class SecStore(Protocol):
    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Whatever the store must do in the background, for as long as one of its logs is in use."""

    async def create(self, saga: NewSaga) -> SagaLogWriter:
        """Write a new saga, running, owned by its SEC under its first claim.

        May be repeated as it was after OutcomeUnknown. Raises SagaExists if another creation took that id, and what a
        guard of the store raises. Any error but StoreUnavailable is the last word: this creation makes no saga.
        """

    async def claim(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        """Take a new claim. Raises SagaNotFound, or SagaLost unless the saga is `sec_id`'s and in progress."""

    async def check_claims(self, claims: Sequence[Claim]) -> dict[Claim, SagaLost]:
        """Those of the claims, at most a page of them, that are not in force any more.

        The claim under which a saga was brought to its end is not lost by that.
        """

    async def load(self, claim: Claim) -> StoredSaga:
        """Read the saga. Raises SagaLost if the claim is not in force, CorruptLog if an event cannot be read."""

    async def list_in_progress(self, sec_id: SecId, *, after: SagaId | None = None, limit: int) -> list[InProgressSaga]:
        """A page of the sagas, running or unwinding, that are assigned to a SEC, by id."""

    async def adopt(self, from_secs: Collection[SecId], *, sec_id: SecId, guard: Guard | None = None) -> Adoption:
        """Assign to `sec_id` every saga in progress of those SECs, under a claim and an adopt generation of its own.

        Each of them is lost to whoever held it. A claim taken by this is used by nobody: recovering the saga takes
        another. Bounded in time, whatever the others are doing; may be repeated. Takes several transactions, and asks
        `guard` in each: what that raises is raised, and what has moved by then has moved.
        """

    async def abandon_orphans(
        self, orphaned_secs: Collection[SecId], *, sec_id: SecId, comment: str, guard: Guard | None = None
    ) -> Abandonment:
        """Give up, as `orphaned`, every saga in progress of those SECs. `sec_id` is who does it, and keeps its own.

        As `adopt` in all else.
        """

    async def abandon(self, claim: Claim, *, reason: AbandonReason, comment: str) -> None:
        """Give the saga up: nothing is unwound and nobody recovers it. Raises SagaLost if the claim is not in force."""


@dataclass(slots=True)
class StoredRow:
    """One saga of an InMemorySecStore."""

    created: NewSaga
    current_sec: SecId
    state: StoredState = StoredState.RUNNING
    adopt_generation: int = 1
    claims: list[SecId] = field(default_factory=list)
    """Who took each claim; the last is in force."""

    events: list[tuple[int, NodeEvent]] = field(default_factory=list)
    """Each with the number of the claim under which it was written."""

    attempts: list[tuple[int, NodeAttempt]] = field(default_factory=list)
    abandoned: tuple[AbandonReason, str] | None = None

    def abandon(self, reason: AbandonReason, comment: str, *, by: SecId) -> None:
        self.state = StoredState.ABANDONED
        self.abandoned = reason, comment
        self.claims.append(by)


class InMemorySecStore:
    """A store that outlives its SECs, but not the process: for tests, and for sagas that need not be durable.

    What was enqueued becomes durable when somebody waits for it, and is lost otherwise, as in a crash.
    """

    def __init__(self) -> None:
        self.rows: dict[SagaId, StoredRow] = {}
        self._reachable = trio.Event()
        self._reachable.set()

    def go_away(self) -> None:
        """From now on as if the store could not be reached, until `come_back`."""
        if self._reachable.is_set():  # who waits already waits for the event that is there
            self._reachable = trio.Event()

    def come_back(self) -> None:
        self._reachable.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()

    async def create(self, saga: NewSaga) -> SagaLogWriter:
        await self._reach()
        row = self.rows.setdefault(saga.saga_id, StoredRow(saga, saga.sec_id, claims=[saga.sec_id]))
        if row.created != saga:
            raise SagaExists(saga.saga_id, "in the store")
        return _InMemoryLog(self, Claim(saga.saga_id, saga.sec_id, 1, 1))

    async def claim(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        await self._reach()
        row = self.rows.get(saga_id)
        if row is None:
            raise SagaNotFound(saga_id)
        if row.current_sec != sec_id:
            raise SagaLost(saga_id, f"is assigned to SEC {row.current_sec}, not to {sec_id}", owner=row.current_sec)
        if row.state not in IN_PROGRESS:
            raise SagaLost(saga_id, f"is {row.state}")
        row.claims.append(sec_id)
        return Claim(saga_id, sec_id, row.adopt_generation, len(row.claims))

    async def check_claims(self, claims: Sequence[Claim]) -> dict[Claim, SagaLost]:
        await self._reach()
        lost: dict[Claim, SagaLost] = {}
        for claim in claims:
            try:
                self._check_claim(claim)
            except SagaLost as error:
                lost[claim] = error
        return lost

    async def load(self, claim: Claim) -> StoredSaga:
        await self._reach()
        row = self.checked(claim)
        return StoredSaga(
            state=row.state,
            dag=row.created.dag,
            events=tuple(event for _, event in row.events),
            attempts=tuple(attempt for _, attempt in row.attempts),
            log=_InMemoryLog(self, claim),
        )

    async def list_in_progress(self, sec_id: SecId, *, after: SagaId | None = None, limit: int) -> list[InProgressSaga]:
        await self._reach()
        page = sorted(
            saga_id
            for saga_id, row in self.rows.items()
            if row.current_sec == sec_id and row.state in IN_PROGRESS and (after is None or saga_id > after)
        )[:limit]
        return [InProgressSaga(saga_id, self.rows[saga_id].created.name, self.rows[saga_id].state) for saga_id in page]

    async def adopt(self, from_secs: Collection[SecId], *, sec_id: SecId, guard: Guard | None = None) -> Adoption:
        await self._reach()
        if guard is not None:
            await guard(self)
        others = set(from_secs) - {sec_id}
        moved: dict[SagaId, SecId] = {}
        for saga_id, row in self.rows.items():
            if row.current_sec in others and row.state in IN_PROGRESS:
                moved[saga_id] = row.current_sec
                row.current_sec = sec_id
                row.adopt_generation += 1
                row.claims.append(sec_id)
        return Adoption(moved=tuple(sorted(moved)), from_secs=tuple(sorted(set(moved.values()))))

    async def abandon_orphans(
        self, orphaned_secs: Collection[SecId], *, sec_id: SecId, comment: str, guard: Guard | None = None
    ) -> Abandonment:
        await self._reach()
        if guard is not None:
            await guard(self)
        others = set(orphaned_secs) - {sec_id}
        abandoned: list[SagaId] = []
        for saga_id, row in self.rows.items():
            if row.current_sec in others and row.state in IN_PROGRESS:
                row.abandon("orphaned", comment, by=sec_id)
                abandoned.append(saga_id)
        return Abandonment(abandoned=tuple(sorted(abandoned)))

    async def abandon(self, claim: Claim, *, reason: AbandonReason, comment: str) -> None:
        await self._reach()
        self.checked(claim).abandon(reason, comment, by=claim.sec_id)

    def checked(self, claim: Claim) -> StoredRow:
        """The row, if that claim is in force and the saga in progress. Raises SagaLost."""
        row = self._check_claim(claim)
        if row.state not in IN_PROGRESS:
            raise SagaLost(claim.saga_id, f"is {row.state}")
        return row

    def _check_claim(self, claim: Claim) -> StoredRow:
        row = self.rows[claim.saga_id]
        if row.current_sec != claim.sec_id or row.adopt_generation != claim.adopt_generation:
            raise SagaLost(claim.saga_id, f"was adopted by SEC {row.current_sec}", owner=row.current_sec)
        if len(row.claims) != claim.number:
            raise SagaLost(claim.saga_id, f"was claimed again ({len(row.claims)}, not {claim.number})")
        return row

    async def reached(self) -> None:
        await trio.lowlevel.checkpoint()
        await self._reachable.wait()

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self._reachable.is_set():
            raise StoreUnavailable("the store cannot be reached")


class _InMemoryLog:
    def __init__(self, store: InMemorySecStore, claim: Claim) -> None:
        self.claim = claim
        self._store = store
        self._pending: list[LogWrite] = []
        self._refusal: SagaLost | None = None
        self._callback: Callable[[SagaError], None] | None = None

    def on_refused(self, callback: Callable[[SagaError], None], /) -> None:
        self._callback = callback
        if self._refusal is not None:
            callback(self._refusal)

    def refuse(self, error: SagaLost, /) -> None:
        if self._refusal is None:
            self._refusal = error
            if self._callback is not None:
                self._callback(error)

    def enqueue(self, write: LogWrite, /) -> None:
        if self._refusal is not None:
            raise self._refusal
        self._pending.append(write)

    async def durable(self) -> None:
        await self._store.reached()
        if self._refusal is not None:
            raise self._refusal
        try:
            row = self._store.checked(self.claim) if self._pending else None
        except SagaLost as lost:
            self.refuse(lost)
            raise
        if row is not None:
            self._write(row)

    def _write(self, row: StoredRow) -> None:
        for write in self._pending:
            match write:
                case NodeEvent():
                    row.events.append((self.claim.number, write))
                case NodeAttempt():
                    row.attempts.append((self.claim.number, write))
                case StateUpdate(state):
                    row.state = state
        self._pending.clear()
