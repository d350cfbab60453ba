"""A Nexus that the launcher starts, and what can be done to it while the stack runs.

    status = await stack.nexus(2).kill()
    await stack.nexus(2).start()

It is one identity, one configuration file and a process now and then. Commands to it go one after the other, so that
two at once leave it as one of them wanted; only the wait for a started one to be ready is outside that order: it may be
long, and a kill must not wait for it. A command that is cancelled leaves a process that runs, or none, and never one
that the launcher has lost sight of.

The processes live in the nursery of `simstack.nexus_fleet`, which also watches each from start to end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import trio

from simstack.errors import SimstackError
from simstack.facts import NexusFacts
from simstack.nexus_choice import nexus_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from dropshot.address import SocketAddr
    from simstack.exit_status import ExitStatus
    from simstack.process import Child
    from simstack.stack_plan import PlannedNexus

STOP_GRACE_S = 5.0
"""From SIGTERM to SIGKILL when somebody stops one Nexus; the end of the whole stack is less patient."""

READY_TIMEOUT_S = 60.0
"""How long a command waits for a Nexus that it started; the Nexus goes on trying after that."""

NEVER_COMES_BACK = "is expunged, and never comes back; `nexus add` starts another"

Ending: TypeAlias = Literal["stopped", "killed", "expunged"]


def was_asked_for(ending: Ending | None, status: ExitStatus) -> bool:
    """Whether a process that ended with `status` did as it was told, so that its death is no news.

    One that crashed just before it was killed, or while it was being stopped, did not.
    """
    match ending:
        case None:
            return False
        case "killed":
            return status.is_by_signal("SIGKILL")
        case "stopped" | "expunged":
            return status.returncode == 0 or status.is_by_signal("SIGTERM", "SIGKILL")


@dataclass(slots=True)
class Run:
    """One process of a Nexus, from start to end."""

    child: Child
    ready: trio.Event = field(default_factory=trio.Event)
    """It has said that it is ready, and whoever looks at the stack can know."""
    ended: trio.Event = field(default_factory=trio.Event)
    """It was reaped, and whoever looks at the stack can know."""
    ending: Ending | None = None
    """How it is to end, as far as anybody has asked."""


def say_nothing(_line: str) -> None:
    """For who does not want to know how a start is coming along."""


class LaunchedNexus:
    """The `number`-th Nexus of a stack.

    `launch` starts a process for it and has it watched, or raises SimstackError.
    """

    def __init__(
        self,
        number: int,
        planned: PlannedNexus,
        *,
        config_path: Path,
        log_path: Path,
        launch: Callable[[LaunchedNexus], Awaitable[Run]],
    ) -> None:
        self.number = number
        self.name = nexus_name(number)
        self.planned = planned
        self.config_path = config_path
        self.log_path = log_path
        self.is_expunged = False
        """Whether its zone is, as far as the launcher knows. That is for ever."""
        self._launch = launch
        self._order = trio.Lock()
        self._run: Run | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.id} (pid {self.pid})"

    @property
    def id(self) -> UUID:
        return self.planned.id

    @property
    def run(self) -> Run:
        """Its process, or the last one that it had."""
        assert self._run is not None, f"{self.name} has had no process"
        return self._run

    @property
    def pid(self) -> int:
        """Of its process, or of the last one that it had; 0 if it has had none."""
        return 0 if self._run is None else self._run.child.pid

    @property
    def is_running(self) -> bool:
        """Whether it has a process, paused or not."""
        return self._run is not None and self._run.child.exit_status is None

    @property
    def last_status(self) -> ExitStatus | None:
        """How its last process has ended; None if that runs, or there was none."""
        return None if self._run is None else self._run.child.exit_status

    @property
    def is_paused(self) -> bool:
        return self.is_running and self.run.child.is_paused

    @property
    def can_be_asked(self) -> bool:
        """Whether it has a process that may do what it is asked to: an expunged one says so, and does nothing."""
        return self.is_running and not self.is_paused and not self.is_expunged

    def facts(self) -> NexusFacts:
        return NexusFacts(
            id=self.id,
            external_address=str(self.planned.external_address),
            internal_address=str(self.planned.internal_address),
            pid=self.pid,
            log=str(self.log_path),
            config=str(self.config_path),
        )

    async def launch(self) -> Run:
        """Give it a process, without waiting until that is ready. Raises SimstackError when that cannot be done."""
        async with self._order:
            await self._start()
            return self.run

    async def kill(self) -> ExitStatus:
        """Kill it as kill -9 does; returns when it was reaped. Raises SimstackError if it does not run."""
        async with self._order:
            run = self._running()
            run.ending = "killed"
            run.child.kill()
            return await self._end(run)

    async def stop(self) -> ExitStatus:
        """End it in an orderly way, paused or not: SIGTERM, then after STOP_GRACE_S SIGKILL. May be called again.

        Returns how it has ended. Raises SimstackError if it has never run.
        """
        async with self._order:
            return await self._stop("stopped")

    async def end_expunged(self) -> ExitStatus | None:
        """`stop` it because its zone is expunged. None if it has ended already."""
        async with self._order:
            return await self._stop("expunged") if self.is_running else None

    async def pause(self) -> None:
        """Stop it in its tracks, as a frozen machine would; returns when it stands still. May be called again.

        Raises SimstackError if it does not run.
        """
        async with self._order:
            child = self._running().child
            child.pause()
            await child.wait_paused()
            self._running()

    async def resume(self) -> None:
        """Let it go on after a pause. May be called again. Raises SimstackError if it does not run."""
        async with self._order:
            self._running().child.resume()

    async def start(self, tell: Callable[[str], None] = say_nothing) -> str:
        """Start it with the same configuration file, unless it runs, and wait until it is ready or on standby.

        Returns which, as in `is ready`. `tell` gets a line for each thing that it waits for. Raises SimstackError when
        it is paused, is expunged, cannot be started, ends before it is ready, or is not ready after READY_TIMEOUT_S:
        then it goes on trying.
        """
        async with self._order:
            if self.is_running and self.run.ending is not None:
                await self._stop("stopped")  # a command that was to end it was cancelled on the way
            if self.is_paused:
                raise SimstackError(f"{self} is paused; `nexus resume` lets it go on")
            if not self.is_running:
                await self._start()
            run = self.run
        return await self._wait_ready(run, tell)

    async def restart(self, tell: Callable[[str], None] = say_nothing) -> str:
        """`stop`, if it runs, and `start`, with no other command in between. One that is expunged is left as it is."""
        async with self._order:
            self._check_may_start()
            if self.is_running:
                await self._stop("stopped")
            await self._start()
            run = self.run
        return await self._wait_ready(run, tell)

    def listens(self, external: SocketAddr, internal: SocketAddr) -> None:
        """Note where that is; it is to stay there."""
        self.planned = replace(self.planned, external_address=external, internal_address=internal)

    def _running(self) -> Run:
        if self._run is None:
            raise SimstackError(f"{self.name} {self.id} does not run: it could not be started")
        if not self.is_running:
            raise SimstackError(f"{self} does not run: {self._run.child.exit_status}")
        return self._run

    def _check_may_start(self) -> None:
        if self.is_expunged:
            raise SimstackError(f"{self.name} {self.id} {NEVER_COMES_BACK}")

    async def _start(self) -> None:
        self._check_may_start()
        if self._run is not None:
            await self._run.ended.wait()
        self._run = await self._launch(self)

    async def _stop(self, ending: Literal["stopped", "expunged"]) -> ExitStatus:
        if self._run is None or self.is_running:
            run = self._running()
            run.ending = ending
            await run.child.stop(grace_s=STOP_GRACE_S)
        return await self._end(self.run)

    async def _end(self, run: Run) -> ExitStatus:
        await run.ended.wait()
        return await run.child.wait_exit()

    async def _wait_ready(self, run: Run, tell: Callable[[str], None]) -> str:
        told = ""
        with trio.move_on_after(READY_TIMEOUT_S):
            async for notices in run.child.notices_as_they_come():
                if notices.ready:
                    await run.ready.wait()
                    return "is ready"
                if notices.standby:
                    return f"is on standby, {notices.status}"
                if (line := f"{self.name} is {notices.status or 'starting'}") != told:
                    tell(line)
                    told = line
            await run.ended.wait()
            status = await run.child.wait_exit()
            if was_asked_for(run.ending, status):
                who = f"{self.name} {self.id} (pid {run.child.pid})"
                why = NEVER_COMES_BACK if run.ending == "expunged" else "another command has ended it"
                raise SimstackError(f"{who} {status} before it was ready: {why}")
            raise SimstackError(f"not ready: {self.death_of(run.child)}")
        raise SimstackError(f"{told}, {READY_TIMEOUT_S:g} s after its start; it goes on trying")

    def death_of(self, child: Child) -> str:
        """How a process of it has ended: why it could not start, or the end of its log, in several lines."""
        who = f"{self.name} {self.id} (pid {child.pid})"
        if child.notices.refusal is not None:
            return f"{who} {child.exit_status}: {child.notices.refusal}"
        return f"{who} {child.exit_status}; the end of its log, {self.log_path}:\n{child.log_tail()}"
