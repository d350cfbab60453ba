"""The saga execution coordinator: owns every saga that this process runs.

    async with trio.open_nursery() as nursery:
        sec = Sec(sec_id, store=store, registry=registry, log=log)
        await nursery.start(sec.run)
        await sec.create(saga_id, dag)

`run` owns two nurseries: the outer one is the store's, for its log writer, the inner one has a task for each saga. They
end when `run` is cancelled, which is a crash as far as the sagas are concerned: whoever runs this SEC id next recovers
them. Which sagas to recover, and when, is not decided here; `list_in_progress`, `drain_started` and `recover` are what
that needs (list first, then drain: the id of a new saga is in the channel before its record is in the store).

`run` itself checks every `CLAIM_CHECK_PERIOD_S` that the claims held are still in force: a saga that only waits writes
nothing, and so would never hear from the store that another SEC has it.

In memory are the sagas that run or are halted, and the last `history` that ended; those lost to another are not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import trio

from nexus.saga.crash import kill_this_process
from nexus.saga.dag import SagaDag
from nexus.saga.errors import (
    CorruptLog,
    DetailsGone,
    IllegalEvent,
    InvalidDag,
    OutcomeUnknown,
    SagaExists,
    SagaLost,
    SagaNotFound,
    SecNotRunning,
    StoreUnavailable,
    UnrecoverableSaga,
    UnrunnableSaga,
)
from nexus.saga.execution import SagaExecution, SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.executor import SagaExecutor, UndoRetries
from nexus.saga.held import HeldSaga
from nexus.saga.injection import Injections, describe
from nexus.saga.payload import printable
from nexus.saga.status import PendingSaga
from nexus.saga.store import NewSaga

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from nexus.saga.action import ActionRegistry
    from nexus.saga.execution import Outcome
    from nexus.saga.ids import SagaId, SecId
    from nexus.saga.injection import Injection
    from nexus.saga.logger import Logger
    from nexus.saga.status import SagaDetails, SagaStatus
    from nexus.saga.store import Abandonment, Adoption, Guard, InProgressSaga, SagaLogWriter, SecStore

DEFAULT_HISTORY = 10_000

DETAILED = 100
"""How many ended sagas, the last ones, keep their DAG and the status of each node in memory, to be looked at."""

DEFAULT_PAGE = 1_000

CLAIM_CHECK_PERIOD_S = 10.0
"""How long a saga that only waits may go on waiting here while another SEC runs it. A check reads one row a saga."""

CREATE_PAUSE_S = 0.5
"""Between two tries to learn what became of a creation."""


class Sec:
    """Runs sagas for one SEC id.

    `history` is how many ended sagas stay in memory. `crash` is called where an injection asks for a crash.
    `admit` is asked before a saga is created, in the same step in which it becomes pending: what it raises is raised.
    `on_lost` is called when a saga that was lost has been stopped and forgotten: if it is still this SEC's, as after a
    repair by hand, it can be recovered from then on.
    """

    def __init__(
        self,
        sec_id: SecId,
        *,
        store: SecStore,
        registry: ActionRegistry,
        log: Logger,
        history: int = DEFAULT_HISTORY,
        undo_retries: UndoRetries | None = None,
        crash: Callable[[], None] = kill_this_process,
        admit: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.sec_id = sec_id
        self._store = store
        self._registry = registry
        self._log = log
        self._undo_retries = undo_retries or UndoRetries()
        self._history = history
        self._crash = crash
        self._admit = admit
        self._on_lost = on_lost
        self._held: dict[SagaId, HeldSaga] = {}
        self._ids: list[SagaId] = []  # the keys of _held, sorted
        self._ended: deque[SagaId] = deque()  # oldest first
        self._detailed: deque[HeldSaga] = deque()  # those of them that have their details
        self._starting: set[SagaId] = set()
        self._pending: dict[SagaId, PendingSaga] = {}
        self._started: list[SagaId] = []
        self._lost: list[SagaLost] = []
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Started when sagas can be created and recovered."""
        async with trio.open_nursery() as store_nursery:
            await store_nursery.start(self._store.run)
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                try:
                    await self._check_claims_for_ever()
                finally:
                    self._nursery = None

    async def create(self, saga_id: SagaId, dag: SagaDag, *, injections: Sequence[Injection] = ()) -> None:
        """Make a new saga, and return once it is durable and runs. The injections are in force from its start.

        Raises what `admit` and the guard of the store do, UnrunnableSaga, InjectionRefused, SagaExists, SecNotRunning,
        or StoreUnavailable (retryable) if the store is away: then there is no such saga, and will be none. If the store
        went away when the creation may have been committed, this waits until it is known; OutcomeUnknown is raised only
        when `run` is cancelled meanwhile.

        When this is cancelled the creation goes on: the end is nothing, or a saga that runs.
        """
        self._registry.check(dag)
        nursery = self._running_nursery()
        for injection in injections:
            Injections().add(injection, SagaExecution(saga_id, dag))
        self._admit()
        self._reserve(saga_id)
        self._pending[saga_id] = PendingSaga(saga_id, dag.saga_name, datetime.now(UTC), recovered=False)
        self._started.append(saga_id)
        reply = _Reply()
        nursery.start_soon(self._create, nursery, saga_id, dag, injections, reply)
        await reply.wait()

    async def recover(self, saga_id: SagaId) -> SagaStatus:
        """Take a new claim of a saga that is assigned to this SEC, and resume it from its log.

        If an action is not registered here, or the parameters do not decode, the saga is held and listed, and
        `waiting_for` says why; nothing of it is run.

        Raises UnrecoverableSaga if its DAG or log cannot be replayed (the only permanent fault; see
        `abandon_unrecoverable`), StoreUnavailable (retryable), SagaLost or SagaNotFound if it is not this SEC's to
        run, SagaExists if this SEC holds it already, SecNotRunning. Safe to cancel, and to repeat.
        """
        self._running_nursery()
        self._reserve(saga_id)
        try:
            claim = await self._store.claim(saga_id, sec_id=self.sec_id)
            try:
                stored = await self._store.load(claim)
                dag = SagaDag.from_json(stored.dag)
                execution = SagaExecution(saga_id, dag, stored.events)
            except (CorruptLog, IllegalEvent, InvalidDag) as error:
                raise UnrecoverableSaga(claim, str(error)) from error
        finally:
            self._starting.discard(saga_id)
        nursery = self._running_nursery()
        executor = self._executor(execution, stored.log)
        executor.resume(stored)
        held = self._hold(executor)
        self._pending[saga_id] = PendingSaga(saga_id, held.saga_name, datetime.now(UTC), recovered=True)
        try:
            self._registry.check(dag)
        except UnrunnableSaga as error:
            self._wait_for_code(held, error)
        else:
            nursery.start_soon(self._run_saga, held)
            self._log.info("saga recovered", claim=claim.number, **_fields(held))
        return held.status()

    async def abandon_unrecoverable(self, error: UnrecoverableSaga) -> None:
        """Record in the store that nobody will run this saga, and why. Raises SagaLost, or StoreUnavailable."""
        await self._store.abandon(error.claim, reason="unrecoverable", comment=printable(error.reason))
        self._log.error("saga abandoned: it cannot be recovered", saga_id=str(error.saga_id), reason=error.reason)

    async def list_in_progress(self, *, after: SagaId | None = None, limit: int = DEFAULT_PAGE) -> list[InProgressSaga]:
        """A page, by id, of the sagas in the store that are assigned to this SEC and not at their end."""
        return await self._store.list_in_progress(self.sec_id, after=after, limit=limit)

    async def adopt(self, from_secs: Collection[SecId], *, guard: Guard | None = None) -> Adoption:
        """Assign to this SEC what is in progress of others, for the next recovery. Those others lose it, whatever they
        are still doing.

        Takes several transactions of the store. Raises StoreUnavailable, SecSuperseded, and what `guard` raises, which
        each of them asks; what has moved by then has moved. Safe to cancel, and to repeat.
        """
        return await self._store.adopt(from_secs, sec_id=self.sec_id, guard=guard)

    async def abandon_orphans(
        self, orphaned_secs: Collection[SecId], *, comment: str, guard: Guard | None = None
    ) -> Abandonment:
        """Give up what is in progress of SECs that are gone and whose sagas nobody can run. As `adopt`."""
        return await self._store.abandon_orphans(orphaned_secs, sec_id=self.sec_id, comment=comment, guard=guard)

    async def check_claims(self) -> list[SagaLost]:
        """Stop every saga held here whose claim is not in force any more, and return why.

        Raises StoreUnavailable. Safe to call at any time, also beside the periodic check.
        """
        found: list[SagaLost] = []
        after: SagaId | None = None
        while page := self._page(after, DEFAULT_PAGE):
            after = page[-1].saga_id
            holding = {held.claim: held for held in page if held.claim is not None}
            lost = await self._store.check_claims(list(holding)) if holding else {}
            for claim, error in lost.items():
                held = holding[claim]
                if held.claim is None or held.lost is not None:
                    continue
                self._lose(held, error)
                found.append(error)
                if held.ended.is_set():  # it was halted, so no task of its own forgets it
                    self._forget_lost(held)
        return found

    def drain_lost(self) -> list[SagaLost]:
        """What has been lost since the last call. `owner` says to whom: another SEC, or a newer claim of this one."""
        lost, self._lost = self._lost, []
        return lost

    def drain_started(self) -> list[SagaId]:
        """The ids of the sagas created here since the last call, also of those whose creation failed."""
        started, self._started = self._started, []
        return started

    def pending(self) -> list[PendingSaga]:
        """All, by id, that keep this SEC from being idle. Halted sagas are among them, recoveries that have only begun
        are not.
        """
        return [self._pending[saga_id] for saga_id in sorted(self._pending)]

    @property
    def idle(self) -> bool:
        return not self._pending

    def saga(self, saga_id: SagaId) -> SagaStatus:
        """Raises SagaNotFound for a saga that is not in memory."""
        return self._find(saga_id).status()

    def details(self, saga_id: SagaId) -> SagaDetails:
        """Every node of a saga in memory. Raises SagaNotFound, DetailsGone."""
        details = self._find(saga_id).details()
        if details is None:
            raise DetailsGone(saga_id)
        return details

    def inject(self, saga_id: SagaId, injection: Injection) -> None:
        """Raises SagaNotFound for a saga that is not in memory, InjectionRefused if it would never fire."""
        held = self._find(saga_id)
        held.inject(injection)
        self._log.warning("injection made", injection=describe(injection), **_fields(held))

    def sagas(self, *, after: SagaId | None = None, limit: int = DEFAULT_PAGE) -> list[SagaStatus]:
        """A page, by id, of the sagas in memory."""
        return [held.status() for held in self._page(after, limit)]

    async def wait_succeeded(self, saga_id: SagaId, node_name: str) -> None:
        """Return when that node's `succeeded` is durable.

        Raises SagaNotFound for a saga that is not in memory, SagaEnded if it ends without (or has no such node),
        SagaLost or WriteRefused if it is stopped. Waits as long as the store is away.
        """
        await self._find(saga_id).wait_succeeded(node_name)

    async def wait_ended(self, saga_id: SagaId) -> SagaStatus:
        """Return the saga's last status when it is at its end or halted, or this SEC stops.

        Raises SagaNotFound for a saga that is not in memory, SagaLost if it is lost.
        """
        held = self._find(saga_id)
        await held.ended.wait()
        if held.lost is not None:
            raise held.lost
        return held.status()

    async def _create(
        self, nursery: trio.Nursery, saga_id: SagaId, dag: SagaDag, injections: Sequence[Injection], reply: _Reply
    ) -> None:
        """In `run`'s nursery, not the caller's: nobody can stop it between the commit and the saga's start."""
        try:
            saga_log = await self._create_in_store(saga_id, dag)
            held = self._hold(self._executor(SagaExecution(saga_id, dag), saga_log))
            for injection in injections:
                held.inject(injection)
        except Exception as error:
            self._pending.pop(saga_id, None)
            reply.refuse(error)
            return
        except trio.Cancelled:
            reply.refuse(OutcomeUnknown(f"stopped while saga {saga_id} was being created"))
            raise
        finally:
            self._starting.discard(saga_id)
        self._log.info("saga created", **_fields(held))
        reply.accept()
        # A task of its own: this one's frame would keep what the creation needed for as long as the saga waits.
        nursery.start_soon(self._run_saga, held)

    async def _create_in_store(self, saga_id: SagaId, dag: SagaDag) -> SagaLogWriter:
        """Goes on until it is known whether the saga exists: an unknown outcome must not become a saga nobody runs."""
        saga = NewSaga(saga_id, self.sec_id, dag.saga_name, dag.to_json(), datetime.now(UTC))
        in_doubt = False
        while True:
            try:
                return await self._store.create(saga)
            except OutcomeUnknown as error:
                in_doubt = True
                self._log.warning("saga may have been created; asking again", saga_id=str(saga_id), error=str(error))
            except StoreUnavailable:
                if not in_doubt:
                    raise
            await trio.sleep(CREATE_PAUSE_S)

    async def _run_saga(self, held: HeldSaga) -> None:
        try:
            outcome = await held.run()
        except SagaLost as lost:
            self._lose(held, lost)
        except UnrunnableSaga as error:
            self._wait_for_code(held, error)
        except Exception as error:
            # A refused write, or a bug. A saga that cannot go on does not stop the others, and stays listed.
            held.halt(_reason(error))
            self._log.error("saga halted", exc_info=error, **_fields(held))
        else:
            self._pending.pop(held.saga_id, None)
            self._log_outcome(held, outcome)
            self._log_injections(held)
            self._detailed.append(held)
            if len(self._detailed) > DETAILED:
                self._detailed.popleft().drop_details()
            self._ended.append(held.saga_id)
            while len(self._ended) > self._history:
                self._forget(self._ended.popleft())
            return
        if held.lost is not None:  # whatever else it met while its calls were being cancelled
            self._forget_lost(held)

    def _wait_for_code(self, held: HeldSaga, error: UnrunnableSaga) -> None:
        held.halt(str(error))
        self._log.warning("saga cannot be run here; it waits", reason=str(error), **_fields(held))

    def _log_injections(self, held: HeldSaga) -> None:
        for state in held.injections():
            if not state.fired:
                self._log.warning("injection never fired", injection=describe(state.injection), **_fields(held))

    async def _check_claims_for_ever(self) -> NoReturn:
        while True:
            await trio.sleep(CLAIM_CHECK_PERIOD_S)
            try:
                await self.check_claims()
            except StoreUnavailable as error:
                self._log.warning("claims could not be checked for now", error=str(error))

    def _lose(self, held: HeldSaga, lost: SagaLost) -> None:
        if held.lost is not None:
            return
        held.lose(lost)
        self._lost.append(lost)
        self._log.warning("saga lost; not running it any more", reason=str(lost), **_fields(held))

    def _forget_lost(self, held: HeldSaga) -> None:
        self._forget(held.saga_id)
        self._on_lost()

    def _log_outcome(self, held: HeldSaga, outcome: Outcome) -> None:
        match outcome:
            case SagaSucceeded():
                self._log.info("saga succeeded", **_fields(held))
            case SagaFailed(node_name):
                self._log.warning("saga failed", error_node_name=node_name, **_fields(held))
            case SagaStuck(node_name, _, undo_node_name):
                self._log.error(
                    "saga stuck", error_node_name=node_name, undo_error_node_name=undo_node_name, **_fields(held)
                )

    def _executor(self, execution: SagaExecution, saga_log: SagaLogWriter) -> SagaExecutor:
        return SagaExecutor(
            execution,
            saga_log,
            registry=self._registry,
            undo_retries=self._undo_retries,
            log=self._log,
            crash=self._crash,
        )

    def _reserve(self, saga_id: SagaId) -> None:
        """Until it is held, nobody else in this process starts it."""
        if saga_id in self._held or saga_id in self._starting:
            raise SagaExists(saga_id, f"SEC {self.sec_id} holds it")
        self._starting.add(saga_id)

    def _hold(self, executor: SagaExecutor) -> HeldSaga:
        held = HeldSaga(executor)
        self._held[held.saga_id] = held
        insort(self._ids, held.saga_id)
        return held

    def _page(self, after: SagaId | None, limit: int) -> list[HeldSaga]:
        first = 0 if after is None else bisect_right(self._ids, after)
        return [self._held[saga_id] for saga_id in self._ids[first : first + limit]]

    def _forget(self, saga_id: SagaId) -> None:
        self._pending.pop(saga_id, None)
        del self._held[saga_id]
        del self._ids[bisect_left(self._ids, saga_id)]

    def _find(self, saga_id: SagaId) -> HeldSaga:
        held = self._held.get(saga_id)
        if held is None:
            raise SagaNotFound(saga_id)
        return held

    def _running_nursery(self) -> trio.Nursery:
        if self._nursery is None:
            raise SecNotRunning(f"SEC {self.sec_id} is not running")
        return self._nursery


class _Reply:
    """The answer to a `create`."""

    def __init__(self) -> None:
        self._answered = trio.Event()
        self._error: Exception | None = None

    def accept(self) -> None:
        self._answered.set()

    def refuse(self, error: Exception) -> None:
        self._error = error
        self._answered.set()

    async def wait(self) -> None:
        await self._answered.wait()
        if self._error is not None:
            raise self._error


def _reason(error: BaseException) -> str:
    """Nurseries wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _fields(held: HeldSaga) -> dict[str, object]:
    return {"saga_id": str(held.saga_id), "saga_name": held.saga_name}
