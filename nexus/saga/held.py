"""A saga that a SEC holds in memory: running, halted, or at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from nexus.saga.errors import InjectionRefused, SagaEnded
from nexus.saga.execution import SagaSucceeded
from nexus.saga.status import SagaDetails, SagaRunning, SagaState, SagaStatus

if TYPE_CHECKING:
    from nexus.saga.errors import SagaLost
    from nexus.saga.execution import Outcome
    from nexus.saga.executor import SagaExecutor
    from nexus.saga.injection import Injection, InjectionState
    from nexus.saga.store import Claim


class HeldSaga:
    """Once the saga is at its end, and its details are dropped, only its status is kept: the rest is in the store."""

    __slots__ = ("_claim", "_executor", "_outcome", "_waiting_for", "ended", "lost", "saga_id", "saga_name")

    def __init__(self, executor: SagaExecutor) -> None:
        self.saga_id = executor.execution.saga_id
        self.saga_name = executor.execution.dag.saga_name
        self.ended = trio.Event()
        """Set when nothing more will happen to the saga here."""

        self.lost: SagaLost | None = None
        self._claim = executor.claim.number
        self._executor: SagaExecutor | None = executor
        self._outcome: Outcome | None = None
        self._waiting_for: str | None = None

    async def run(self) -> Outcome:
        """Raises what `SagaExecutor.run` does."""
        assert self._executor is not None, "a saga is run once"
        try:
            self._outcome = await self._executor.run()
            return self._outcome
        finally:
            self.ended.set()

    @property
    def claim(self) -> Claim | None:
        """Under which the saga is held, until its end."""
        if self._executor is None or self._outcome is not None:
            return None
        return self._executor.claim

    def lose(self, lost: SagaLost) -> None:
        """The claim is not in force any more. If the saga runs, `run` raises SagaLost."""
        self.lost = lost
        if self._executor is not None:
            self._executor.lose(lost)

    def halt(self, reason: str) -> None:
        """The saga cannot go on in this process."""
        self._waiting_for = reason
        self.ended.set()

    def drop_details(self) -> None:
        """To be called after the end, and not before."""
        assert self._outcome is not None, "a saga that is not at its end needs its DAG and log"
        self._executor = None

    def details(self) -> SagaDetails | None:
        """None once they are dropped."""
        if self._executor is None:
            return None
        executor = self._executor
        return SagaDetails(self.status(), executor.execution.dag, executor.nodes(), executor.injections.states())

    def injections(self) -> tuple[InjectionState, ...]:
        """None are left once the details are dropped."""
        return () if self._executor is None else self._executor.injections.states()

    def inject(self, injection: Injection) -> None:
        """Raises InjectionRefused."""
        if self._executor is None or self.ended.is_set():
            reason = "it waits" if self._waiting_for is not None else "it has ended"
            raise InjectionRefused(f"saga {self.saga_id} does not run here: {reason}")
        self._executor.injections.add(injection, self._executor.execution)

    def status(self) -> SagaStatus:
        return SagaStatus(self.saga_id, self.saga_name, self._claim, self._state())

    async def wait_succeeded(self, node_name: str) -> None:
        if self._executor is not None and self._outcome is None:
            node_id = self._executor.execution.dag.find(node_name)
            if node_id is None:
                raise SagaEnded(f'saga {self.saga_id} has no node "{node_name}"')
            await self._executor.wait_succeeded(node_id)
        elif not isinstance(self._outcome, SagaSucceeded):
            raise SagaEnded(f"saga {self.saga_id} is at its end and was undone")

    def _state(self) -> SagaState:
        if self._outcome is not None:
            return self._outcome
        unwinding = self._executor is not None and self._executor.execution.unwinding
        return SagaRunning(unwinding=unwinding, waiting_for=self._waiting_for)
