"""The Nexuses that the launcher started: the task that owns their processes, and watches each from start to end.

A Nexus may die, and the rest of the stack goes on. A death that nobody asked for is reported with the end of its log;
before the stack is up it means that there will be no stack.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import trio

from dropshot.address import SocketAddr
from simstack.errors import SimstackError
from simstack.launched_nexus import Ending, LaunchedNexus, Run, was_asked_for
from simstack.log_files import log_path, nexus_log
from simstack.next_generation import put_in_next_generation
from simstack.nexus_choice import choose_nexus
from simstack.nexus_config import settle_ports, write_nexus_config
from simstack.process import Child, ChildSpec, run_child
from simstack.stack_plan import MAX_NEXUSES, plan_another

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path
    from uuid import UUID

    from simstack.notify import Notices
    from simstack.progress import Progress
    from simstack.services import ServiceBoard
    from simstack.stack_plan import PlannedNexus, ReservePort, StackPlan
    from simstack.watchdog import Watchdog

START_AGAIN = "`nexus start` starts it again"
WHAT_NOW: Mapping[Ending, str] = {
    "stopped": START_AGAIN,
    "killed": START_AGAIN,
    "expunged": "its zone never comes back; `nexus add` starts another",
}


class NexusFleet:
    """Begins with the planned Nexuses, none of which has a process yet."""

    def __init__(
        self,
        plan: StackPlan,
        directory: Path,
        reserve_port: ReservePort,
        *,
        watchdog: Watchdog,
        board: ServiceBoard,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._directory = directory
        self._reserve_port = reserve_port
        self._watchdog = watchdog
        self._board = board
        self._progress = progress
        self._nursery: trio.Nursery | None = None
        self._add_order = trio.Lock()
        self.nexuses: list[LaunchedNexus] = []
        """In the order of their numbers."""
        self.deaths_are_fatal = True
        """Until the stack is up."""
        for planned in plan.launched:
            self._enlist(planned)

    def find(self, text: str | None) -> LaunchedNexus:
        """The one of that number, name, id or start of an id; the only one for none. Raises UnknownNexus."""
        launched = [nexus.id for nexus in self.nexuses]
        return self.nexuses[choose_nexus(text, launched=launched, by_hand=self._plan.second.id) - 1]

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Own the processes. Never returns unless cancelled.

        It has started when every planned Nexus has a process. Raises SimstackError when one ends before the stack is
        up.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for nexus in self.nexuses:
                    await nexus.launch()
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def add(self, *, next_generation: bool) -> LaunchedNexus:
        """One more, with the next number and free ports, to be started; once it runs it puts itself in service, unless
        it is of the next generation.

        Raises SimstackError when enough of them run, or none can put it in the next generation.
        """
        async with self._add_order:
            if sum(nexus.is_running for nexus in self.nexuses) >= MAX_NEXUSES:
                raise SimstackError(f"{MAX_NEXUSES} Nexuses of this stack run, and it cannot have more")
            planned = plan_another(self._plan.host, self._reserve_port, number=len(self.nexuses) + 1)
            if next_generation:
                await put_in_next_generation(planned, self.awake())
            nexus = self._enlist(planned)
        self._board.announce(nexus.name, "nexus", awaits="its start")
        return nexus

    def awake(self) -> list[SocketAddr]:
        """Where those listen that can be asked for something; the one that was started by hand may be one of them."""
        awake = [nexus.planned for nexus in self.nexuses if nexus.can_be_asked]
        return [planned.internal_address for planned in (*awake, self._plan.second)]

    def never_come_back(self, expunged: Container[UUID]) -> None:
        """Note that of each of these Nexuses; it goes on the board when one has ended, whoever ended it."""
        for nexus in [each for each in self.nexuses if each.id in expunged]:
            nexus.is_expunged = True
            if nexus.last_status is not None:
                self._board.never_comes_back(nexus.name, f"{nexus.last_status}; {WHAT_NOW['expunged']}")

    def _enlist(self, planned: PlannedNexus) -> LaunchedNexus:
        number = len(self.nexuses) + 1
        nexus = LaunchedNexus(
            number,
            planned,
            config_path=self._directory / f"nexus{number}.toml",
            log_path=log_path(self._directory, nexus_log(number)),
            launch=self._launch,
        )
        self.nexuses.append(nexus)
        return nexus

    def _prepare_config(self, nexus: LaunchedNexus) -> None:
        """Written once: what a user changes in it holds from the next start on."""
        planned = nexus.planned
        if nexus.config_path.exists():
            settle_ports(
                nexus.config_path,
                external_address=planned.external_address,
                internal_address=planned.internal_address,
            )
        else:
            settings = self._plan.settings(planned, log=nexus.log_path)
            write_nexus_config(self._plan.template, settings, nexus.config_path)

    async def _launch(self, nexus: LaunchedNexus) -> Run:
        nursery = self._nursery
        if nursery is None:
            raise SimstackError("the stack is on its way down")
        self._board.announce(nexus.name, "nexus", awaits="its interpreter")
        self._prepare_config(nexus)
        spec = ChildSpec(
            name=nexus.name,
            argv=(sys.executable, "-m", "nexus", str(nexus.config_path)),
            env=os.environ,
            cwd=self._directory,
            log_path=nexus.log_path,
        )
        freed = trio.Event()
        try:
            child: Child = await nursery.start(self._own, spec, freed)
        except OSError as exc:
            self._board.ended(nexus.name, "exited", f"could not be started: {exc}")
            raise SimstackError(f"{nexus.name} cannot be started: {exc}") from exc
        self._board.has_process(nexus.name, pid=child.pid)
        run = Run(child)
        nursery.start_soon(self._watch, nexus, run, freed)
        return run

    async def _own(self, spec: ChildSpec, freed: trio.Event, *, task_status: trio.TaskStatus[Child]) -> None:
        """`freed` is set when the next process of that Nexus can have its socket."""
        try:
            await run_child(
                spec, socket_directory=self._socket_directory(), watchdog=self._watchdog, task_status=task_status
            )
        finally:
            freed.set()

    async def _watch(self, nexus: LaunchedNexus, run: Run, freed: trio.Event) -> None:
        """Put on the board what a process says and how it ends."""
        try:
            async for notices in run.child.notices_as_they_come():
                if notices.ready:
                    external = SocketAddr.parse(notices.values["X_EXTERNAL_ADDRESS"])
                    internal = SocketAddr.parse(notices.values["X_INTERNAL_ADDRESS"])
                    nexus.listens(external, internal)
                    self._board.is_up(nexus.name, internal, pid=run.child.pid)
                    run.ready.set()
                elif notices.standby:
                    internal = SocketAddr.parse(notices.values["X_INTERNAL_ADDRESS"])
                    self._board.stands_by(nexus.name, internal, _awaited(notices))
                else:
                    self._board.awaits(nexus.name, _awaited(notices))
            status = await run.child.wait_exit()
            await freed.wait()
            if run.ending is not None and was_asked_for(run.ending, status):
                self._board.ended(nexus.name, run.ending, f"{status}; {WHAT_NOW[run.ending]}")
                return
            refusal = run.child.notices.refusal
            self._board.ended(nexus.name, "exited", f"{status}: {refusal}" if refusal else f"{status}; {START_AGAIN}")
            if self.deaths_are_fatal:
                raise SimstackError(nexus.death_of(run.child))
            self._progress.warn(nexus.death_of(run.child))
        finally:
            run.ended.set()

    def _socket_directory(self) -> Path:
        path = self._directory / "notify"
        path.mkdir(mode=0o700, exist_ok=True)
        return path


def _awaited(notices: Notices) -> str:
    return notices.status.removeprefix("waiting for ") or "its interpreter"
