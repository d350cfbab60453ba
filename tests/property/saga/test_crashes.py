"""The shell, killed at every step and recovered: cancellation is a crash.

A saga on the store in memory runs without a clock and without I/O, so its steps are few and the same in every run: one
run for each step at which the process can die.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, note, settings
from hypothesis import strategies as st
from saga_lab import (
    SAGA_ID,
    SEC_ID,
    Chooser,
    KeptLog,
    KillAt,
    LogOracle,
    Part,
    Shape,
    World,
    brief,
    run_deterministically,
    shapes,
)

from nexus.saga.errors import OutcomeUnknown, SagaLost, SagaNotFound, SecNotRunning, StoreUnavailable
from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.sec import Sec
from nexus.saga.status import SagaRunning
from nexus.saga.store import InMemorySecStore, StoredRow, StoredState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.saga.log import NodeEvent
    from nexus.saga.status import SagaState

ENDS = {SagaSucceeded: "succeeded", SagaFailed: "failed", SagaStuck: "stuck"}

A = Part.ACTION

SHAPE = Shape(((A,), (A, Part.NO_UNDO), (Part.CONSTANT, A), (A,)))


class Lab:
    """One store and one world; processes come and go."""

    def __init__(self, shape: Shape, fails: Chooser, *, steps: int = 1) -> None:
        self.shape = shape
        self.store = InMemorySecStore()
        self.world = World(shape, fails, durable=self.events, has_written=self.has_written, steps=steps)
        self.dag = shape.dag()
        self.acknowledged = False
        self.created = trio.Event()

    @property
    def row(self) -> StoredRow:
        return self.store.rows[SAGA_ID]

    def events(self) -> Sequence[NodeEvent]:
        return [event for _, event in self.row.events]

    def has_written(self, claim: int) -> bool:
        return any(claim == written for written, _ in [*self.row.events, *self.row.attempts])

    async def process(self, *, kill_at: int | None) -> str | None:
        """Run until the saga ends or the process is killed: how it ended, if it did."""
        if SAGA_ID in self.store.rows and self.row.state is StoredState.DONE:
            return LogOracle(self.shape).read(brief(self.events())).end()  # the one before had no time to say so
        state: SagaState | None = None
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                sec = Sec(SEC_ID, store=self.store, registry=self.world.registry(), log=KeptLog())
                instrument = KillAt(kill_at or -1, scope)
                trio.lowlevel.add_instrument(instrument)
                try:
                    await nursery.start(sec.run)
                    with suppress(OutcomeUnknown, SecNotRunning):  # what is said while the process is being killed
                        await self.start(sec)
                        state = (await sec.wait_ended(SAGA_ID)).state
                finally:
                    trio.lowlevel.remove_instrument(instrument)
                nursery.cancel_scope.cancel()
        if state is None or isinstance(state, SagaRunning):
            return None
        return ENDS[type(state)]

    async def start(self, sec: Sec) -> None:
        if SAGA_ID not in self.store.rows:
            assert not self.acknowledged, "G1: an acknowledged saga is gone"
            await sec.create(SAGA_ID, self.dag)
            self.acknowledged = True
            self.created.set()
        else:
            await sec.recover(SAGA_ID)

    def check_end(self, end: str) -> None:
        assert self.row.state is StoredState.DONE
        self.world.check_end(self.events(), end)
        assert [claim for claim, _ in self.row.events] == sorted(claim for claim, _ in self.row.events)


def no_failures(verb: str, node: int) -> bool:
    return False


def fails_at(*calls: tuple[str, int]) -> Chooser:
    return lambda verb, node: (verb, node) in calls


@pytest.mark.parametrize(
    ("fails", "end"),
    [
        (no_failures, "succeeded"),
        (fails_at(("act", 5)), "failed"),
        (fails_at(("act", 1)), "failed"),
        (fails_at(("act", 5), ("undo", 1)), "stuck"),
    ],
    ids=["succeeds", "fails last", "fails beside another", "gets stuck"],
)
@pytest.mark.parametrize("seed", range(5))
def test_g1_killed_at_every_step_and_recovered(fails: Chooser, end: str, seed: int) -> None:
    for step in count(1):
        lab = Lab(SHAPE, fails)
        first = run_deterministically(partial(lab.process, kill_at=step), seed=seed)
        last = first or run_deterministically(partial(lab.process, kill_at=None), seed=seed)
        assert last == end
        lab.check_end(end)
        if first is not None:
            break  # it ended before it could be killed: every step has had its turn
    assert step > 20


@pytest.mark.parametrize("step", range(20, 61))
def test_killed_again_and_again(step: int) -> None:
    """Each process gets a few steps further than a recovery takes, or the saga would never end."""
    lab = Lab(SHAPE, fails_at(("act", 5)))
    for seed in range(200):
        end = run_deterministically(partial(lab.process, kill_at=step), seed=seed)
        if end is not None:
            break
    assert end == "failed"
    lab.check_end(end)


@settings(max_examples=400, deadline=None, print_blob=True)
@given(
    shape=shapes(),
    seed=st.integers(0, 2**32),
    failure_rate=st.sampled_from([0.0, 0.2]),
    kills=st.lists(st.integers(1, 120), max_size=4),
    outages=st.lists(st.integers(1, 60), max_size=3),
)
def test_g3_killed_anywhere_with_failures_and_outages(
    shape: Shape, seed: int, failure_rate: float, kills: list[int], outages: list[int]
) -> None:
    random = Random(seed)
    lab = Lab(shape, lambda verb, node: random.random() < failure_rate)

    async def main() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_and_go, lab.store, outages)
            end = await live(lab, kills)
            nursery.cancel_scope.cancel()
        return end

    end = run_deterministically(main, seed=seed)
    note(str(brief(lab.events())))
    lab.check_end(end)


async def come_and_go(store: InMemorySecStore, outages: list[int]) -> None:
    """The store is away for as many checkpoints."""
    for length in outages:
        store.go_away()
        for _ in range(length):
            await trio.lowlevel.checkpoint()
        store.come_back()
        for _ in range(length):
            await trio.lowlevel.checkpoint()


async def live(lab: Lab, kills: list[int]) -> str:
    """One process after the other, the last of which is let live."""
    kill_at: list[int | None] = [*kills]
    while True:
        kill = kill_at.pop(0) if kill_at else None
        with suppress(StoreUnavailable, SagaNotFound):
            end = await unwrapped(lab, kill)
            if end is not None:
                return end


async def unwrapped(lab: Lab, kill: int | None) -> str | None:
    try:
        return await lab.process(kill_at=kill)
    except* StoreUnavailable:
        pass  # tried again, as a caller or the next recovery pass does
    await trio.lowlevel.checkpoint()
    return None


@settings(max_examples=400, deadline=None, print_blob=True)
@given(
    shape=shapes(),
    seed=st.integers(0, 2**32),
    failure_rate=st.sampled_from([0.0, 0.2]),
    delays=st.lists(st.integers(0, 80), min_size=1, max_size=4),
)
def test_g4_processes_that_live_on_after_their_saga_was_recovered(
    shape: Shape, seed: int, failure_rate: float, delays: list[int]
) -> None:
    """Nobody is killed: each process takes the saga from another, in whatever that one is doing."""
    random = Random(seed)
    lab = Lab(shape, lambda verb, node: random.random() < failure_rate, steps=20)

    async def process(nursery: trio.Nursery, delay: int) -> None:
        sec = Sec(SEC_ID, store=lab.store, registry=lab.world.registry(), log=KeptLog())
        await nursery.start(sec.run)
        for _ in range(delay):
            await trio.lowlevel.checkpoint()
        with suppress(SagaLost, SagaNotFound):
            await lab.start(sec)
            await sec.wait_ended(SAGA_ID)

    async def main() -> None:
        async with trio.open_nursery() as secs:
            async with trio.open_nursery() as processes:
                processes.start_soon(process, secs, 0)
                await lab.created.wait()
                for delay in delays:
                    processes.start_soon(process, secs, delay)
            secs.cancel_scope.cancel()

    run_deterministically(main, seed=seed)
    note(str(brief(lab.events())))
    end = LogOracle(shape).read(brief(lab.events())).end()
    assert end is not None
    lab.check_end(end)
