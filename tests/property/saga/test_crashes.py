"""The shell, killed at every step and recovered: cancellation is a crash.

A saga on the store in memory runs without a clock and without I/O, so its steps are few and the same in every run: one
run for each step at which the process can die.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from saga_lab import SAGA_ID, SEC_ID, KeptLog, KillAt, run_deterministically
from saga_oracle import Chooser, LogOracle, World, brief, never
from saga_shapes import Part, Shape

from nexus.saga.errors import OutcomeUnknown, SecNotRunning
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

    def __init__(self, shape: Shape, fails: Chooser) -> None:
        self.shape = shape
        self.store = InMemorySecStore()
        self.world = World(shape, fails, durable=self.events, has_written=self.has_written)
        self.dag = shape.dag()
        self.acknowledged = False

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
        else:
            await sec.recover(SAGA_ID)

    def check_end(self, end: str) -> None:
        assert self.row.state is StoredState.DONE
        self.world.check_end(self.events(), end)
        assert [claim for claim, _ in self.row.events] == sorted(claim for claim, _ in self.row.events)


def fails_at(*calls: tuple[str, int]) -> Chooser:
    return lambda verb, node: (verb, node) in calls


@pytest.mark.parametrize(
    ("fails", "end"),
    [
        (never, "succeeded"),
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
