"""Background task `saga_recovery`: resumes the sagas that are assigned to this Nexus and that nobody runs.

Which ones is decided by `nexus.recovery.plan`, what came of it told by `nexus.recovery.report`. This carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from nexus.recovery.plan import RecoveryPlan, RestState
from nexus.recovery.report import Execution, Loss, Recovery, RecoveryFailure, RecoveryReport
from nexus.saga.errors import SagaError, SagaExists, SagaNotFound, SecSuperseded, UnrecoverableSaga
from nexus.saga.status import SagaRunning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from dropshot.logging import Log
    from nexus.quiesce.gate import QuiesceGate
    from nexus.recovery.report import FailureKind
    from nexus.saga.errors import SagaLost
    from nexus.saga.ids import SagaId
    from nexus.saga.sec import Sec

PAGE_SIZE = 1_000

RECOVERED_AT_ONCE = 256
"""As many as the Postgres store claims, and then loads, in one transaction. More would only be in memory sooner."""


class SagaRecovery:
    """The only user of the SEC's saga-started channel: nobody else may drain it. `quiesce` is told of each pass."""

    def __init__(self, sec: Sec, *, quiesce: QuiesceGate, log: Log, now: Callable[[], datetime]) -> None:
        self._sec = sec
        self._quiesce = quiesce
        self._log = log
        self._now = now
        self._rest = RestState()
        self._report = RecoveryReport()

    async def activate(self) -> RecoveryReport:
        """One pass. A saga that cannot be recovered does not keep the others from it."""
        self._quiesce.sagas = self._quiesce.sagas.recovery_started()
        complete = False
        try:
            complete = await self._pass()
        finally:
            sagas = self._quiesce.sagas
            self._quiesce.sagas = sagas.recovered() if complete else sagas.recovery_failed()
        return self._report

    async def _pass(self) -> bool:
        """Whether all that was to be recovered is."""
        listed: list[SagaId] | SagaError
        try:
            # Before the listing, where an adopted or abandoned saga is missing as a finished one is.
            await self._sec.check_claims()
            listed = await self._list_in_progress()
        except SagaError as error:
            listed = error
        # Only now, and even if the listing failed: see `RecoveryPlan.new` for what goes wrong in the other order.
        started = self._sec.drain_started()
        self._rest = self._rest.with_started(started)
        if isinstance(listed, SagaError):
            self._log.warning("sagas could not be listed for recovery", error=str(listed))
            self._report = self._report.after_failed_pass(str(listed), nstarted=len(started))
            return False
        lost = self._sec.drain_lost()
        adopted = [loss for loss in lost if self._is_adopted(loss)]
        plan = RecoveryPlan.new(
            self._rest,
            in_progress=listed,
            adopted=[loss.saga_id for loss in adopted],
            repaired=[loss.saga_id for loss in lost if not self._is_adopted(loss)],
        )
        execution = await self._execute(plan, adopted)
        self._rest = self._rest.after(plan, recovered=[recovery.saga_id for recovery in execution.recoveries])
        self._report = self._report.after_pass(plan, execution, nstarted=len(started))
        return len(execution.recoveries) == len(plan.needs_recovery)

    def _is_adopted(self, loss: SagaLost) -> bool:
        return loss.owner not in (None, self._sec.sec_id)

    async def _list_in_progress(self) -> list[SagaId]:
        listed: list[SagaId] = []
        while True:
            page = await self._sec.list_in_progress(after=listed[-1] if listed else None, limit=PAGE_SIZE)
            listed += [saga.saga_id for saga in page]
            if len(page) < PAGE_SIZE:
                return listed

    async def _execute(self, plan: RecoveryPlan, adopted: Sequence[SagaLost]) -> Execution:
        missing = bad_state = 0
        for saga_id in plan.inferred_done:
            try:
                state = self._sec.saga(saga_id).state
            except SagaNotFound:
                missing += 1
                self._log.warning("saga inferred done is not known to the SEC", saga_id=str(saga_id))
            else:
                if isinstance(state, SagaRunning):
                    bad_state += 1
                    self._log.error("saga inferred done is not done in the SEC", saga_id=str(saga_id))
        outcomes: dict[SagaId, Recovery | RecoveryFailure | None] = {}
        to_do = iter(plan.needs_recovery)

        async def recover() -> None:
            for saga_id in to_do:
                outcomes[saga_id] = await self._recover(saga_id)

        async with trio.open_nursery() as nursery:
            for _ in range(RECOVERED_AT_ONCE):
                nursery.start_soon(recover)
        in_order = [outcomes[saga_id] for saga_id in plan.needs_recovery]
        recoveries = [outcome for outcome in in_order if isinstance(outcome, Recovery)]
        failures = [outcome for outcome in in_order if isinstance(outcome, RecoveryFailure)]
        losses = [Loss(self._now(), lost.saga_id, lost.owner) for lost in adopted if lost.owner is not None]
        return Execution(tuple(recoveries), tuple(failures), tuple(losses), missing, bad_state)

    async def _recover(self, saga_id: SagaId) -> Recovery | RecoveryFailure | None:
        """None if the saga was lost so recently that its actions are still being stopped: the SEC tells when they are,
        and the pass after that recovers it.
        """
        try:
            await self._sec.recover(saga_id)
        except SagaExists as error:
            self._log.info("saga is still being stopped here", saga_id=str(saga_id), reason=str(error))
            return None
        except SecSuperseded as error:
            return self._failure(saga_id, "transient", error)  # this process is about to end, and says why
        except UnrecoverableSaga as error:
            await self._abandon(error)
            return self._failure(saga_id, "permanent", error)
        except Exception as error:
            # Nothing was decided about the saga: if it is still this SEC's, the next pass finds it again.
            self._log.exception("saga could not be recovered for now", saga_id=str(saga_id))
            return self._failure(saga_id, "transient", error)
        return Recovery(self._now(), saga_id)

    async def _abandon(self, unrecoverable: UnrecoverableSaga) -> None:
        """Best effort: what is not recorded now is found, and fails, again in the next pass."""
        try:
            await self._sec.abandon_unrecoverable(unrecoverable)
        except SagaError as error:
            self._log.warning(
                "unrecoverable saga could not be abandoned", saga_id=str(unrecoverable.saga_id), error=str(error)
            )

    def _failure(self, saga_id: SagaId, kind: FailureKind, error: Exception) -> RecoveryFailure:
        return RecoveryFailure(self._now(), saga_id, self._sec.sec_id, kind, str(error) or type(error).__name__)
