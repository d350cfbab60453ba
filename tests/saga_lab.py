"""A laboratory for sagas: random shapes, a world in which actions leave traces, and an oracle.

The oracle is written from the guarantees in docs/saga-engine.md and shares no code with the engine: it computes who
depends on whom from the shape, and reads a log as a list in the order in which it was written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar
from unittest.mock import patch
from uuid import UUID

import trio
from hypothesis import strategies as st

from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.ids import SagaId, SecId
from nexus.saga.nodes import ActionNode, ConstantNode, constant

if TYPE_CHECKING:
    from nexus.saga.dag import SagaDag
    from nexus.saga.log import NodeEvent


T = TypeVar("T")

SAGA_ID = SagaId(UUID(int=0x5A6A))
SEC_ID = SecId(UUID(int=0xE6))
OTHER_SEC_ID = SecId(UUID(int=0xA4))


class KeptLog:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def bind(self, **fields: object) -> KeptLog:
        return self

    def debug(self, event: str, /, **fields: object) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, /, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, /, **fields: object) -> None:
        self.lines.append(("error", event, fields))

    def critical(self, event: str, /, **fields: object) -> None:
        self.lines.append(("critical", event, fields))

    def exception(self, event: str, /, **fields: object) -> None:
        self.lines.append(("error", event, fields))


def run_deterministically(fn: Callable[[], Awaitable[T]], *, seed: int) -> T:
    """trio.run with the order of tasks made by the seed: the same steps every time."""
    trio._core._run._r.seed(seed)
    with patch.object(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", new=True):
        return trio.run(fn)


class KillAt(trio.abc.Instrument):
    """Cancels the process before its n-th step."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self.left = step
        self.scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


class Part(Enum):
    """What a node of a shape is."""

    ACTION = "action"
    NO_UNDO = "action without undo"
    CONSTANT = "constant"


@dataclass(frozen=True)
class Shape:
    """Stages of parts; the nodes are numbered as they come, then Start, then End."""

    stages: tuple[tuple[Part, ...], ...]

    @property
    def parts(self) -> list[Part]:
        return [part for stage in self.stages for part in stage]

    @property
    def start(self) -> int:
        return len(self.parts)

    @property
    def end(self) -> int:
        return self.start + 1

    def parents(self, node: int) -> list[int]:
        before: list[int] = [self.start]
        first = 0
        for stage in self.stages:
            nodes = list(range(first, first + len(stage)))
            if node in nodes:
                return before
            before, first = nodes, first + len(stage)
        return before if node == self.end else []

    def children(self, node: int) -> list[int]:
        return [other for other in range(self.end + 1) if node in self.parents(other)]

    def dag(self) -> SagaDag:
        builder = DagBuilder("lab")
        node = 0
        for stage in self.stages:
            nodes: list[ActionNode | ConstantNode] = []
            for part in stage:
                if part is Part.CONSTANT:
                    nodes.append(constant(f"n{node}", node))
                else:
                    action = "act" if part is Part.ACTION else "act_for_good"
                    nodes.append(Action(f"lab.{action}", _never, params=int).node(f"n{node}"))
                node += 1
            builder.append_parallel(nodes)
        return builder.build(0)


async def _never(context: ActionContext[int]) -> None:
    raise AssertionError("only its name is used")


def shapes(*, max_stages: int = 4, max_width: int = 3) -> st.SearchStrategy[Shape]:
    part = st.sampled_from([Part.ACTION, Part.ACTION, Part.ACTION, Part.NO_UNDO, Part.CONSTANT])
    stage = st.lists(part, min_size=1, max_size=max_width).map(tuple)
    stages = st.lists(stage, min_size=0, max_size=max_stages - 1)
    last = st.sampled_from([(Part.ACTION,), (Part.NO_UNDO,), (Part.CONSTANT,)])
    return st.builds(lambda stages, last: Shape((*stages, last)), stages, last)


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
            self._read(node, kind)
        return self

    def _read(self, node: int, kind: str) -> None:
        said = f"{kind} of node {node}"
        running = self.started - self.ok - self.failed
        match kind:
            case "started":
                assert node not in self.started, f"{said}: twice"
                assert not self.failed, f"{said}: after a failure"
                assert set(self.shape.parents(node)) <= self.ok, f"{said}: before its parents had succeeded"
                self.started.add(node)
            case "succeeded":
                assert node in running, f"{said}: it does not run"
                self.ok.add(node)
            case "failed":
                assert node in running, f"{said}: it does not run"
                self.failed.add(node)
            case "undo_started":
                assert node in self.ok, f"{said}: it has not succeeded"
                assert node not in self.undoing, f"{said}: twice"
                assert self.failed, f"{said}: nothing has failed"
                assert not self.undo_failed, f"{said}: the saga is stuck"
                for child in self.shape.children(node):
                    assert child not in self.started - self.failed - self.undone, f"{said}: before its child {child}"
                self.undoing.add(node)
            case "undo_finished" | "undo_failed":
                assert node in self.undoing - self.undone - self.undo_failed, f"{said}: it is not being undone"
                (self.undone if kind == "undo_finished" else self.undo_failed).add(node)
            case _:
                raise AssertionError(said)

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


Chooser = Callable[[str, int], bool]
"""Whether a call (`act` or `undo`, of this node) fails."""


@dataclass
class World:
    """What the actions of a saga of some shape do. It outlives every process.

    Each action makes the resource of its node, or fails and leaves none; each undo removes it, or fails. `durable`
    is asked at the beginning of a call for the log as it is durable then, `has_written` whether
    anything was written under the caller's claim. A call takes so many `steps` of its task.
    """

    shape: Shape
    fails: Chooser
    durable: Callable[[], Sequence[NodeEvent]]
    has_written: Callable[[int], bool] = lambda claim: True
    steps: int = 1
    resources: set[int] = field(default_factory=set)
    calls: list[tuple[str, int]] = field(default_factory=list)
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
        return not failed

    def _begin_noting(self, verb: str, node: int, claim: int) -> None:
        """An action that raises is a failed action, so what is wrong is kept for the end."""
        try:
            self.begin(verb, node, claim)
        except AssertionError as error:
            self.violations.append(str(error))

    def check_end(self, events: Iterable[NodeEvent], end: str) -> None:
        assert not self.violations
        log = LogOracle(self.shape).read(brief(events))
        assert log.end() == end
        undoable = {node for node, part in enumerate(self.shape.parts) if part is Part.ACTION}
        actions = {node for node, part in enumerate(self.shape.parts) if part is not Part.CONSTANT}
        assert actions & log.ok <= {node for verb, node in self.calls if verb == "act"}, "an action was never called"
        if end == "succeeded":
            assert self.resources == actions
        elif end == "failed":
            assert not self.resources & undoable, "something was not undone"
        else:
            assert self.resources & undoable <= log.ok - log.undone

    def registry(self) -> ActionRegistry:
        """The actions of every shape's DAG."""

        async def act(context: ActionContext[int]) -> str:
            node = int(context.node_name[1:])
            self._begin_noting("act", node, context.claim)
            for _ in range(self.steps):
                await trio.lowlevel.checkpoint()
            if not self.finish("act", node, context.claim):
                raise ActionFailure({"node": node})
            return f"made by {node}"

        async def undo(context: ActionContext[int]) -> None:
            node = int(context.node_name[1:])
            if context.lookup(context.node_name, str) != f"made by {node}":
                self.violations.append(f"undo of node {node} sees another output")
            self._begin_noting("undo", node, context.claim)
            for _ in range(self.steps):
                await trio.lowlevel.checkpoint()
            if not self.finish("undo", node, context.claim):
                raise ActionFailure({"node": node})

        return ActionRegistry(
            [Action("lab.act", act, undo=undo, params=int), Action("lab.act_for_good", act, params=int)]
        )
