"""What a saga must do: an oracle that reads logs, and a world in which actions leave traces.

Written from the guarantees in docs/saga-engine.md, without the engine: who depends on whom is told by the shape, and a
log is a list in the order in which it was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import trio
from saga_shapes import Part, Shape

from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry

if TYPE_CHECKING:
    from nexus.saga.log import NodeEvent


def brief(events: Iterable[NodeEvent]) -> list[tuple[int, str]]:
    """What the oracle reads."""
    return [(event.node_id, str(event.kind)) for event in events]


class LogOracle:
    """Reads a log in the order of writing; fails if no run that keeps the guarantees writes it."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.started: set[int] = set()
        self.ok: set[int] = set()
        self.failed: set[int] = set()
        self.undoing: set[int] = set()
        self.undone: set[int] = set()
        self.undo_failed: set[int] = set()

    def read(self, events: Iterable[tuple[int, str]]) -> LogOracle:
        for node, kind in events:
            self.check(node, kind)
            self.take(node, kind)
        return self

    def check(self, node: int, kind: str) -> None:
        """Fails if that cannot be the next event."""
        said = f"{kind} of node {node}"
        running = self.started - self.ok - self.failed
        match kind:
            case "started":
                assert node not in self.started, f"{said}: twice"
                assert not self.failed, f"{said}: after a failure"
                assert set(self.shape.parents(node)) <= self.ok, f"{said}: before its parents had succeeded"
            case "succeeded" | "failed":
                assert node in running, f"{said}: it does not run"
            case "undo_started":
                assert node in self.ok, f"{said}: it has not succeeded"
                assert node not in self.undoing, f"{said}: twice"
                assert self.failed, f"{said}: nothing has failed"
                assert not self.undo_failed, f"{said}: the saga is stuck"
                for child in self.shape.children(node):
                    assert child not in self.started - self.failed - self.undone, f"{said}: before its child {child}"
            case "undo_finished" | "undo_failed":
                assert node in self.undoing - self.undone - self.undo_failed, f"{said}: it is not being undone"
            case _:
                raise AssertionError(said)

    def take(self, node: int, kind: str) -> None:
        nodes = {
            "started": self.started,
            "succeeded": self.ok,
            "failed": self.failed,
            "undo_started": self.undoing,
            "undo_finished": self.undone,
            "undo_failed": self.undo_failed,
        }
        nodes[kind].add(node)

    @property
    def at_rest(self) -> bool:
        """Nothing runs and nothing is being undone."""
        return self.started == self.ok | self.failed and self.undoing == self.undone | self.undo_failed

    def end(self) -> str | None:
        """How the saga has ended, or None: G3."""
        if not self.at_rest:
            return None
        if not self.failed:
            return "succeeded" if self.ok == set(range(self.shape.end + 1)) else None
        if self.undo_failed:
            return "stuck"
        return "failed" if self.ok == self.undone else None


Chooser: TypeAlias = Callable[[str, int], bool]
"""Of a call: `act` or `undo`, and of which node."""

UNDO_CALLS = 3
"""How often a process calls an undo action whose error is transient."""


def never(verb: str, node: int) -> bool:
    return False


async def one_step(claim: int) -> None:
    await trio.lowlevel.checkpoint()


@dataclass
class World:
    """What the actions of a saga of some shape do. It outlives every process.

    Each action makes the resource of its node, or fails and leaves none; each undo removes it, or fails, for good or
    for now as `passes` says. `durable` is asked at the beginning of a call for the log as it is durable then,
    `has_written` whether anything was written under the caller's claim. A call takes as long as `pause`, which is told
    the caller's claim.
    """

    shape: Shape
    fails: Chooser
    durable: Callable[[], Sequence[NodeEvent]]
    has_written: Callable[[int], bool] = lambda claim: True
    passes: Chooser = never
    pause: Callable[[int], Awaitable[None]] = one_step
    resources: set[int] = field(default_factory=set)
    calls: list[tuple[str, int]] = field(default_factory=list)
    under_way: Counter[tuple[str, int]] = field(default_factory=Counter)
    passed: Counter[tuple[int, int]] = field(default_factory=Counter)
    """How often an undo failed for now, by claim and node."""

    failures: set[tuple[str, int]] = field(default_factory=set)
    """For good, or for now but once too often."""

    claim: int = 0
    violations: list[str] = field(default_factory=list)

    def begin(self, verb: str, node: int, claim: int = 0) -> None:
        """G2 and G3 from the side of whoever is called: the log knows of the call, and of nothing that rests on it."""
        log = LogOracle(self.shape).read(brief(self.durable()))
        if verb == "act":
            assert node in log.started - log.ok - log.failed, f"action of node {node} called, log: {self.durable()}"
            assert not log.started & set(self.shape.children(node)), "a node that depends on it has started"
        else:
            assert node in log.undoing - log.undone - log.undo_failed, f"undo of node {node} called"
        assert self.has_written(claim), f"{verb} of node {node} called under claim {claim}, which let no write through"
        self.calls.append((verb, node))
        self.claim = max(self.claim, claim)

    def finish(self, verb: str, node: int, claim: int = 0) -> bool:
        """Whether it succeeded. A process that was superseded during the call is refused."""
        if claim < self.claim:
            raise ActionFailure("stale claim")
        failed = self.fails(verb, node)
        if verb == "act" and not failed:
            self.resources.add(node)
        elif verb == "act" or not failed:
            self.resources.discard(node)
        if failed:
            self.passed[claim, node] = self._passing(verb, node, claim)
            if self.passed[claim, node] in (0, UNDO_CALLS):
                self.failures.add((verb, node))
        return not failed

    def _passing(self, verb: str, node: int, claim: int) -> int:
        return self.passed[claim, node] + 1 if verb == "undo" and self.passes(verb, node) else 0

    def check_end(self, events: Iterable[NodeEvent], end: str) -> None:
        assert not self.violations
        assert not self.under_way.total(), f"still under way: {+self.under_way}"
        log = LogOracle(self.shape).read(brief(events))
        assert log.end() == end
        parts = list(enumerate(self.shape.parts))
        undoable = {node for node, part in parts if part is Part.ACTION}
        actions = undoable | {node for node, part in parts if part is Part.NO_UNDO}
        assert actions & log.ok <= {node for verb, node in self.calls if verb == "act"}, "an action was never called"
        assert {("act", node) for node in log.failed} <= self.failures, "no action of that node ever failed"
        assert {("undo", node) for node in log.undo_failed} <= self.failures, "no undo of that node ever failed"
        if end == "succeeded":
            assert self.resources == actions
        elif end == "failed":
            assert not self.resources & undoable, "something was not undone"
        else:
            assert self.resources & undoable <= log.ok - log.undone

    def registry(self) -> ActionRegistry:
        """The actions of every shape's DAG."""
        return ActionRegistry(
            [
                Action("lab.act", self._act, undo=self._undo, params=object),
                Action("lab.act_for_good", self._act, params=object),
            ]
        )

    def poor_registry(self) -> ActionRegistry:
        """That of a process which does not know actions without an undo."""
        return ActionRegistry([Action("lab.act", self._act, undo=self._undo, params=object)])

    async def _act(self, context: ActionContext[object]) -> str:
        node = self._begin_noting("act", context)
        with self._noting_under_way("act", node):
            await self.pause(context.claim)
        if not self.finish("act", node, context.claim):
            raise ActionFailure({"node": node})
        return f"made by {node}"

    async def _undo(self, context: ActionContext[object]) -> None:
        node = self._begin_noting("undo", context)
        output = context.lookup(context.node_name.rpartition("/")[2], object)
        self._note(output == self._output(node), f"undo of node {node} sees the output {output}")
        with self._noting_under_way("undo", node):
            await self.pause(context.claim)
        if not self.finish("undo", node, context.claim):
            raise ActionFailure({"node": node}, retryable=self.passed[context.claim, node] > 0)

    @contextmanager
    def _noting_under_way(self, verb: str, node: int) -> Iterator[None]:
        self.under_way[verb, node] += 1
        try:
            yield
        finally:
            self.under_way[verb, node] -= 1

    def _output(self, node: int) -> object:
        maker = self.shape.maker(node)
        return maker if self.shape.parts[maker] is Part.CONSTANT else f"made by {maker}"

    def _begin_noting(self, verb: str, context: ActionContext[object]) -> int:
        """An action that raises is a failed action, so what is wrong is kept for the end."""
        node = self.shape.node(context.node_name)
        try:
            self.begin(verb, node, context.claim)
        except AssertionError as error:
            self.violations.append(str(error))
        source = self.shape.vertices[node].params_from
        params = 0 if source is None else self._output(source)
        self._note(context.params == params, f"{verb} of node {node} has the parameters {context.params}")
        return node

    def _note(self, right: bool, otherwise: str) -> None:
        if not right:
            self.violations.append(otherwise)
