"""The whole engine in random stories: any saga, any schedule, any failures, any crash, any number of SECs.

A story is a list of steps: processes of three SECs come, take the saga from whoever has it, die at any step of any
task or at any event, or live on and write; the store goes away; claims are checked; processes lack code. Then the store
is back, one more process comes that has the code, nobody dies any more, and the saga must end. No clock and no I/O is
in it, so the same story takes the same course every time.

`python -m xtask fuzz sagas` tells as many stories as one likes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, cast
from uuid import UUID

import trio
import trio.testing
from hypothesis import given, note
from hypothesis import strategies as st
from saga_lab import FUZZED, OTHER_SEC_ID, SAGA_ID, SEC_ID, KeptLog, run_deterministically
from saga_oracle import UNDO_CALLS, LogOracle, World, brief
from saga_shapes import Part, Shape, shapes
from watched_store import WatchedStore

from nexus.saga.errors import (
    InjectionRefused,
    OutcomeUnknown,
    SagaEnded,
    SagaExists,
    SagaLost,
    SagaNotFound,
    SecNotRunning,
    StoreUnavailable,
)
from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.executor import UndoRetries
from nexus.saga.ids import NodeId, SecId
from nexus.saga.injection import CrashAt, When
from nexus.saga.log import EventKind
from nexus.saga.sec import Sec
from nexus.saga.status import SagaRunning
from nexus.saga.store import StoredRow, StoredState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.saga.log import NodeEvent

SEC_IDS = (SEC_ID, OTHER_SEC_ID, SecId(UUID(int=0xD3)))

AT_ONCE = UndoRetries(calls=UNDO_CALLS, first_pause_s=0.0, longest_pause_s=0.0)

ENDS = {SagaSucceeded: "succeeded", SagaFailed: "failed", SagaStuck: "stuck"}

HANGS_FOR_EVER_S = 3_600.0
"""The clock stands while anybody can do anything, so this much passes only if nobody ever will."""

MOST_TRIES = 100


class Verb(Enum):
    START = "a process starts and takes the saga"
    START_POOR = "a process starts that does not know every action"
    KILL = "a process dies"
    CRASH_AT = "a process dies at an event"
    ADOPT = "a SEC adopts the saga"
    CHECK = "a process checks its claims"
    AWAY = "the store goes away"
    BACK = "the store comes back"


@dataclass(frozen=True)
class Step:
    after: int
    """Turns of all tasks that pass before."""

    verb: Verb
    which: int
    """Process or SEC."""


STEPS = st.builds(
    Step,
    st.integers(0, 40),
    st.sampled_from([Verb.START, Verb.START, Verb.START, Verb.KILL, *Verb]),
    st.integers(0, 5),
)


@dataclass(eq=False)
class Process:
    sec: Sec
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Story:
    def __init__(self, shape: Shape, random: Random, *, failure_rate: float, piecemeal: bool) -> None:
        self.shape = shape
        self.random = random
        self.store = WatchedStore(piecemeal=piecemeal, lag=self.lag, loses=lambda: random.random() < 0.1)
        self.released = trio.Event()
        self.world = World(
            shape,
            fails=lambda verb, node: random.random() < failure_rate,
            durable=self.events,
            has_written=lambda claim: self.store.has_written(self.row, claim),
            passes=lambda verb, node: random.random() < 0.5,
            pause=self.pause,
        )
        self.dag = shape.dag()
        self.acknowledged = False
        self.waiting = 0
        self.processes: list[Process] = []

    @property
    def row(self) -> StoredRow:
        return self.store.rows[SAGA_ID]

    def events(self) -> Sequence[NodeEvent]:
        return [event for _, event in self.row.events]

    async def lag(self) -> None:
        """As long as a question to the store, or its answer, is on its way."""
        for _ in range(self.random.choice([0, 0, 0, 1, 5])):
            await trio.lowlevel.checkpoint()

    async def pause(self, claim: int) -> None:
        """As long as a call takes: no step, some, or until the story is over. A stale one then goes on for ever."""
        steps = self.random.choice([0, 1, 1, 2, 5, 20, None])
        if steps is None:
            await self.released.wait()
            if claim != len(self.row.claims):
                await trio.sleep_forever()
        for _ in range(steps or 0):
            await trio.lowlevel.checkpoint()

    async def play(self, steps: Sequence[Step]) -> None:
        async with trio.open_nursery() as nursery:
            await self.start(nursery, SEC_ID)
            for step in steps:
                await self.carry_out(step, nursery)
            self.store.come_back()
            self.released.set()
            with trio.fail_after(HANGS_FOR_EVER_S):
                await self.bring_to_its_end(nursery)
            self.check()
            nursery.cancel_scope.cancel()

    async def carry_out(self, step: Step, nursery: trio.Nursery) -> None:
        for _ in range(step.after):
            await trio.lowlevel.checkpoint()
        match step.verb:
            case Verb.START:
                await self.start(nursery, SEC_IDS[step.which % len(SEC_IDS)])
            case Verb.START_POOR:
                await self.start(nursery, SEC_IDS[step.which % len(SEC_IDS)], poor=True)
            case Verb.ADOPT:
                with suppress(StoreUnavailable):
                    await self.store.adopt(SEC_IDS, sec_id=SEC_IDS[step.which % len(SEC_IDS)])
            case Verb.AWAY:
                self.store.go_away()
            case Verb.BACK:
                self.store.come_back()
            case Verb.KILL | Verb.CRASH_AT | Verb.CHECK if self.processes:
                process = self.processes[step.which % len(self.processes)]
                await self.do_to(process, step.verb)
            case _:
                pass  # nobody is there to do it to

    async def do_to(self, process: Process, verb: Verb) -> None:
        match verb:
            case Verb.KILL:
                self.kill(process)
            case Verb.CRASH_AT:
                node = self.dag.node_name(NodeId(self.random.choice(self.shape.nodes)))
                when = cast("When", self.random.choice(["before", "after"]))
                with suppress(InjectionRefused, SagaNotFound):
                    process.sec.inject(SAGA_ID, CrashAt(node, self.random.choice([*EventKind]), when))
            case _:
                with suppress(StoreUnavailable):
                    await process.sec.check_claims()

    def kill(self, process: Process) -> None:
        process.scope.cancel()
        self.processes.remove(process)

    async def start(self, nursery: trio.Nursery, sec_id: SecId, *, poor: bool = False) -> Process:
        process = Process(
            Sec(
                sec_id,
                store=self.store,
                registry=self.world.poor_registry() if poor else self.world.registry(),
                log=KeptLog(),
                undo_retries=AT_ONCE,
                crash=lambda: self.kill(process),
            )
        )
        self.processes.append(process)
        await nursery.start(self.live, process, poor)
        return process

    async def live(
        self, process: Process, poor: bool, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with process.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(process.sec.run)
                task_status.started()
                await self.take(process, poor=poor)
                await self.wait_for_a_node(process.sec)
                await trio.sleep_forever()

    async def wait_for_a_node(self, sec: Sec) -> None:
        node = NodeId(self.random.choice(self.shape.nodes))
        self.waiting += 1
        try:
            with suppress(SagaEnded, SagaLost, SagaNotFound):
                await sec.wait_succeeded(SAGA_ID, self.dag.node_name(node))
                assert (node, "succeeded") in brief(self.events()), f"node {node} was acknowledged before"
        finally:
            self.waiting -= 1

    async def take(self, process: Process, *, poor: bool = False) -> None:
        """Make the saga, or take it from whoever has it; or not, if it is not to be had for now."""
        lacks_code = poor and Part.NO_UNDO in self.shape.parts
        sec = process.sec
        try:
            if SAGA_ID not in self.store.rows:
                assert not self.acknowledged, "G1: an acknowledged saga is gone"
                if not lacks_code:
                    await sec.create(SAGA_ID, self.dag)
                    self.acknowledged = True
            elif self.row.state is not StoredState.DONE:
                if self.row.current_sec != sec.sec_id:
                    await self.store.adopt([self.row.current_sec], sec_id=sec.sec_id)
                state = (await sec.recover(SAGA_ID)).state
                waits = isinstance(state, SagaRunning) and state.waiting_for is not None
                assert waits == lacks_code, f"G5: {state}"
        except OutcomeUnknown:
            assert process.scope.cancel_called, "G1: nobody runs what may have been created"
        except (SagaExists, SagaLost, SagaNotFound, SecNotRunning, StoreUnavailable):
            pass

    async def bring_to_its_end(self, nursery: trio.Nursery) -> None:
        process = await self.start(nursery, self.random.choice(SEC_IDS))
        for _ in range(MOST_TRIES):
            with suppress(SagaLost, SagaNotFound):
                await process.sec.wait_ended(SAGA_ID)
            if SAGA_ID in self.store.rows and self.row.state is StoredState.DONE:
                break
            await trio.sleep(1)
            await self.take(process)  # those that were still about to take it do so only once
        else:
            raise AssertionError("the saga never ends")
        for other in self.processes:
            await other.sec.check_claims()
        await trio.testing.wait_all_tasks_blocked()

    def check(self) -> None:
        end = LogOracle(self.shape).read(brief(self.events())).end()
        assert end is not None, "done, but not at an end"
        self.world.check_end(self.events(), end)
        if not self.world.failures:
            assert end == "succeeded"
        self.store.check_fence()
        assert not self.waiting, "somebody waits for a node for ever"
        for process in self.processes:
            for status in process.sec.sagas():
                assert ENDS.get(type(status.state)) == end, f"{process.sec.sec_id} shows {status.state}"


@FUZZED
@given(
    shape=shapes(),
    steps=st.lists(STEPS, max_size=12),
    seed=st.integers(0, 2**32),
    failure_rate=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    piecemeal=st.booleans(),
)
def test_g1_to_g5_in_any_story(
    shape: Shape, steps: list[Step], seed: int, failure_rate: float, piecemeal: bool
) -> None:
    async def main() -> None:
        story = Story(shape, Random(seed), failure_rate=failure_rate, piecemeal=piecemeal)
        try:
            await story.play(steps)
        finally:
            if SAGA_ID in story.store.rows:
                note(f"log, each event under its claim: {[(claim, *brief([e])[0]) for claim, e in story.row.events]}")

    run_deterministically(main, seed=seed)
