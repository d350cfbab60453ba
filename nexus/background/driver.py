"""Runs the background tasks: when, one at a time each, and what came of it.

    Activator ──signaled──┐
    Watch ───dependency───┼──> loop of one task ──> task.activate() ──details──> status
    period ────timeout────┘

Every task has a loop of its own, so activations of one task never overlap and different tasks run side by side. The
first activation is at once, by the period. A task is told to look again and nothing else; it does not retry, its next
activation is the retry. What it returns, or the exception that it raised, is kept as its status until its next
activation has ended. No exception ends a loop; `Driver.stop` ends all of them, for good. Of a database that stays away
each task warns once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import trio

from nexus.api.types import (
    ActivationReason,
    BackgroundTask,
    Completed,
    CompletedDetails,
    CurrentStatus,
    Duration,
    Idle,
    LastResult,
    NeverCompleted,
    Running,
    RunningDetails,
)
from nexus.background.activator import Activator
from nexus.db.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dropshot.logging import Log
    from nexus.background.activator import Watch


class Task(Protocol):
    async def activate(self) -> object:
        """Look at the world and do what is to be done. Returns the details, which must convert to JSON.

        A `{"error": "..."}` says that the activation failed, as does any exception.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    name: str
    description: str
    """One sentence for `omdb nexus background-tasks doc`."""

    period_s: float
    task: Task
    watches: tuple[Watch[Any], ...] = ()
    """The task runs again whenever one of them is sent a value."""

    activator: Activator = field(default_factory=Activator)
    """For whoever else is to activate it, beside `Driver.activate`."""


class UnknownTasks(Exception):
    """There are no tasks of these names; nothing was activated."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(f"background tasks: {', '.join(self.names)}")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Driver:
    """All background tasks of one Nexus. Requests to activate are kept from before `run`."""

    def __init__(
        self,
        definitions: Sequence[TaskDefinition],
        *,
        log: Log,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._loops = {
            definition.name: _TaskLoop(definition, log=log, now=now)
            for definition in sorted(definitions, key=lambda definition: definition.name)
        }
        if len(self._loops) < len(definitions):
            raise ValueError("two background tasks of the same name")
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self.stopped: str | None = None
        """Why no task runs any more."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run every task, each for the first time at once, until `stop`. Cancelling cancels what is running."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                for loop in self._loops.values():
                    nursery.start_soon(loop.run, name=f"background task {loop.definition.name}")
                task_status.started()
        self._ended.set()

    async def stop(self, reason: str) -> None:
        """Run no task any more: cancel what is running, and return when it has ended. The status of each task stays."""
        self.stopped = reason
        self._scope.cancel()
        await self._ended.wait()

    def activate(self, names: Iterable[str]) -> None:
        """Have these tasks run, again if they are running. Raises UnknownTasks, and then activates none. Does nothing
        after `stop`.
        """
        wanted = set(names)
        if unknown := wanted - self._loops.keys():
            raise UnknownTasks(unknown)
        for name in wanted:
            self._loops[name].activator.activate()

    def status(self, name: str) -> BackgroundTask:
        """Raises UnknownTasks."""
        if name not in self._loops:
            raise UnknownTasks([name])
        return self._loops[name].status()

    def statuses(self) -> dict[str, BackgroundTask]:
        """By name, in the order of names."""
        return {name: loop.status() for name, loop in self._loops.items()}


class _TaskLoop:
    def __init__(self, definition: TaskDefinition, *, log: Log, now: Callable[[], datetime]) -> None:
        self.definition = definition
        self.activator = definition.activator
        self._log = log.bind(background_task=definition.name)
        self._now = now
        self._changes = [watch.subscribe() for watch in definition.watches]
        self._woken = trio.Event()
        self._next_tick = 0.0
        self._iteration = 0
        self._current: CurrentStatus = Idle()
        self._last: LastResult = NeverCompleted()
        self._database_away = False

    def status(self) -> BackgroundTask:
        return BackgroundTask(
            name=self.definition.name,
            description=self.definition.description,
            period=Duration.from_seconds(self.definition.period_s),
            current=self._current,
            last=self._last,
        )

    async def run(self) -> None:
        for activator in (self.activator, *self._changes):
            activator.listen(self._wake)
        self._next_tick = trio.current_time()
        while True:
            await self._activate(await self._next_reason())
            await trio.lowlevel.checkpoint()

    def _wake(self) -> None:
        self._woken.set()

    async def _next_reason(self) -> ActivationReason:
        while True:
            self._woken = trio.Event()
            if trio.current_time() >= self._next_tick:
                # From now, not from when it was due: late ticks delay the following ones and never pile up.
                self._next_tick = trio.current_time() + self.definition.period_s
                return "timeout"
            if self.activator.take():
                return "signaled"
            if any(change.take() for change in self._changes):
                return "dependency"
            with trio.move_on_at(self._next_tick):
                await self._woken.wait()

    async def _activate(self, reason: ActivationReason) -> None:
        self._iteration += 1
        start_time, started_at = self._now(), trio.current_time()
        self._current = Running(RunningDetails(start_time, reason, self._iteration))
        self._log.debug("activating", iteration=self._iteration, reason=reason)
        try:
            details = await self._details()
        finally:
            self._current = Idle()
        elapsed = Duration.from_seconds(trio.current_time() - started_at)
        self._last = Completed(CompletedDetails(self._iteration, start_time, reason, elapsed, details))
        self._log.debug("activation complete", iteration=self._iteration, elapsed_s=elapsed.seconds)

    async def _details(self) -> object:
        was_away, self._database_away = self._database_away, False
        try:
            return msgspec.json.decode(msgspec.json.encode(await self.definition.task.activate()))
        except DatabaseUnavailable as error:
            self._database_away = True
            tell = self._log.debug if was_away else self._log.warning
            tell("background task could not reach the database", error=str(error))
            return {"error": str(error)}
        except Exception as error:
            self._log.exception("background task failed")
            return {"error": str(error) or type(error).__name__}
