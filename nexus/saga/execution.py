"""What a saga must do next, given its DAG and its log. Pure: performs no I/O, knows no action.

`SagaExecution` is rebuilt from any prefix of a saga's log, its events in any order, and then says what it would have
said had the process never died: `next_commands()` depends on the log alone. Whoever carries the commands out records
an event for each step, and asks again.

Beside the table of `log.py`, which is about one node, these rules tie nodes together:

- A node starts when all its parents have succeeded, unless the saga unwinds.
- The first `failed` makes the saga unwind, for good. Nothing starts any more; a node that had started is run to its
  end all the same (also after a crash, when nobody can know how far it came), and is undone only if it succeeded.
- A succeeded node is undone when none of its children is left that succeeded or still runs.
- A failed undo makes the saga stuck: what runs is run to its end, no further undo begins.
- Finished is: End succeeded; or unwinding and nothing left to undo; or stuck and nothing runs.

Only action nodes call anything. Start, End, constants, and the start and end of a subsaga are nodes of the log like all
others, so that there is no special case in recovery, but pass at once (`Pass`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nexus.saga.errors import IllegalEvent, OutputNotFound
from nexus.saga.ids import NodeId
from nexus.saga.log import EventKind, NodeEvent, NodeStatus, replay
from nexus.saga.nodes import (
    ActionNode,
    ConstantNode,
    EndNode,
    StartNode,
    SubsagaEndNode,
    SubsagaStartNode,
    UnknownNode,
)
from nexus.saga.payload import NULL, Payload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexus.saga.action_error import ActionError, UndoActionError
    from nexus.saga.dag import SagaDag
    from nexus.saga.ids import SagaId

S, E = NodeStatus, EventKind

RUNNING = frozenset({S.STARTED, S.UNDO_STARTED})
"""Statuses of a node that was called, or is about to be, and has not answered."""

TO_UNDO = frozenset({S.STARTED, S.SUCCEEDED, S.UNDO_STARTED})
"""While one of a node's children has such a status, the node cannot be undone."""

HAS_SUCCEEDED = frozenset({S.SUCCEEDED, S.UNDO_STARTED, S.UNDO_FINISHED, S.UNDO_FAILED})

NEEDS_PARENTS_SUCCEEDED = frozenset({S.STARTED, S.SUCCEEDED, S.UNDO_STARTED, S.UNDO_FAILED})
"""A node with such a status still rests on its parents: none of them can be undoing."""

NEEDS_PARENTS_RUN = NEEDS_PARENTS_SUCCEEDED | {S.FAILED, S.UNDO_FINISHED}
"""Every status of a node that ever started: each of its parents had succeeded then."""


@dataclass(frozen=True, slots=True)
class SagaSucceeded:
    """Every node succeeded."""


@dataclass(frozen=True, slots=True)
class SagaFailed:
    """A node failed, and everything that had succeeded was undone."""

    error_node_name: str
    error: ActionError


@dataclass(frozen=True, slots=True)
class SagaStuck:
    """A node failed, and then the undo of another: a human is needed."""

    error_node_name: str
    error: ActionError
    undo_error_node_name: str
    undo_error: UndoActionError


Outcome: TypeAlias = SagaSucceeded | SagaFailed | SagaStuck
"""How a saga can end. With several errors, the one of the lowest node is told."""


@dataclass(frozen=True, slots=True)
class RunAction:
    """Call the node's action, then record `succeeded` or `failed`. Record `started` before, if it is not in the log."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class RunUndo:
    """Call the node's undo action, then record `undo_finished` or `undo_failed`; `undo_started` as for RunAction."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class Pass:
    """Record these events: the node calls nothing."""

    node_id: NodeId
    events: tuple[NodeEvent, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome


Command: TypeAlias = RunAction | RunUndo | Pass | Finish


class SagaExecution:
    """The state of one saga.

    Raises IllegalEvent if the events are not those of a prefix of some run of this DAG.
    """

    def __init__(self, saga_id: SagaId, dag: SagaDag, events: Iterable[NodeEvent] = ()) -> None:
        self.saga_id = saga_id
        self.dag = dag
        self._log = replay(saga_id, len(dag.nodes), events)
        self._check_shape()
        statuses = self._log.statuses
        self._failed = [NodeId(index) for index, status in enumerate(statuses) if status is S.FAILED]
        self._undo_failed = [NodeId(index) for index, status in enumerate(statuses) if status is S.UNDO_FAILED]
        self._waits_for = [sum(statuses[parent] is not S.SUCCEEDED for parent in parents) for parents in dag.parents]
        self._held_by = [sum(statuses[child] in TO_UNDO for child in children) for children in dag.children]
        self._left = sum(status in TO_UNDO for status in statuses)
        self._due: dict[NodeId, Command] = {}
        self._find_due(range(len(statuses)))

    @property
    def unwinding(self) -> bool:
        return bool(self._failed)

    @property
    def stuck(self) -> bool:
        return bool(self._undo_failed)

    @property
    def statuses(self) -> tuple[NodeStatus, ...]:
        """By node id."""
        return self._log.statuses

    def status(self, node_id: NodeId) -> NodeStatus:
        return self._log.status(node_id)

    def has_succeeded(self, node_id: NodeId) -> bool:
        """Whether the node ever succeeded; it may have been undone since."""
        return self._log.status(node_id) in HAS_SUCCEEDED

    def output(self, name: str, *, seen_from: NodeId) -> Payload:
        """The output called `name`, as the action or undo action of the node `seen_from` may see it.

        Raises OutputNotFound unless that is the output of an ancestor in the same subsaga or saga, or its own and it
        has one. Its own is also known by the name that is unique in the saga.
        """
        own_name = self.dag.node_name(seen_from)
        if name == own_name:
            node_id: NodeId | None = seen_from
        else:
            node_id = self.dag.find_output(name, inside=self.dag.subsaga_of(seen_from))
        if node_id is not None and (node_id == seen_from or self.dag.is_ancestor(node_id, seen_from)):
            output = self._log.output(node_id)
            if output is not None:
                return output
        raise OutputNotFound(f'node "{own_name}" does not depend on a node "{name}"')

    def params(self, node_id: NodeId) -> Payload:
        """The parameters of the subsaga that the node is in, or of the saga."""
        span = self.dag.subsaga_of(node_id)
        if span is None:
            return self.dag.params
        start = self.dag.nodes[span.start]
        assert isinstance(start, SubsagaStartNode), "checked when the DAG was made"
        return self.output(start.params_node_name, seen_from=span.start)

    def record(self, event: NodeEvent) -> None:
        """Take note of what happened. Raises IllegalEvent and changes nothing if it cannot have."""
        following = self._log.next_status(event)
        self._check_order(event)
        before = self._log.status(event.node_id)
        self._log.apply(event)
        node_id = event.node_id
        self._due.pop(node_id, None)
        touched: Iterable[int] = (node_id,)
        if following is S.SUCCEEDED:
            for child in self.dag.children[node_id]:
                self._waits_for[child] -= 1
            touched = (node_id, *self.dag.children[node_id])
        elif following is S.UNDO_STARTED:
            for child in self.dag.children[node_id]:
                self._waits_for[child] += 1
        held, holds = before in TO_UNDO, following in TO_UNDO
        if held != holds:
            change = 1 if holds else -1
            self._left += change
            for parent in self.dag.parents[node_id]:
                self._held_by[parent] += change
            touched = (node_id, *self.dag.parents[node_id])
        if following is S.FAILED:
            self._failed.append(node_id)
            touched = range(len(self.dag.nodes))
        elif following is S.UNDO_FAILED:
            self._undo_failed.append(node_id)
            touched = range(len(self.dag.nodes))
        self._find_due(touched)

    def next_commands(self) -> tuple[Command, ...]:
        """Everything that is due now, by node id: also what is under way since an earlier call.

        Never empty: if nothing is due, the saga is finished.
        """
        if self._due:
            return tuple(self._due[node_id] for node_id in sorted(self._due))
        return (Finish(self._outcome()),)

    def _outcome(self) -> Outcome:
        if not self._failed:
            assert self._log.status(self.dag.end_node) is S.SUCCEEDED, "a saga without failures ends at its End"
            return SagaSucceeded()
        failed = min(self._failed)
        error = self._log.error(failed)
        assert error is not None, "a failed node has its error in the log"
        if not self._undo_failed:
            assert not self._left, "a saga that is not stuck ends with everything undone"
            return SagaFailed(self.dag.node_name(failed), error)
        undo_failed = min(self._undo_failed)
        undo_error = self._log.undo_error(undo_failed)
        assert undo_error is not None, "a failed undo has its error in the log"
        return SagaStuck(self.dag.node_name(failed), error, self.dag.node_name(undo_failed), undo_error)

    def _find_due(self, nodes: Iterable[int]) -> None:
        for index in nodes:
            command = self._command(NodeId(index))
            if command is not None:
                self._due[NodeId(index)] = command
            else:
                self._due.pop(NodeId(index), None)

    def _command(self, node_id: NodeId) -> Command | None:
        match self._log.status(node_id):
            case S.NEVER_STARTED if self._may_start(node_id):
                return self._forward(node_id, NodeEvent.started(self.saga_id, node_id))
            case S.STARTED:
                return self._forward(node_id)
            case S.SUCCEEDED if self._may_undo(node_id):
                return self._backward(node_id, NodeEvent.undo_started(self.saga_id, node_id))
            case S.UNDO_STARTED:
                return self._backward(node_id)
            case _:
                return None

    def _may_start(self, node_id: NodeId) -> bool:
        return not self.unwinding and not self._waits_for[node_id]

    def _may_undo(self, node_id: NodeId) -> bool:
        return self.unwinding and not self.stuck and not self._held_by[node_id]

    def _forward(self, node_id: NodeId, *before: NodeEvent) -> Command | None:
        """None for a node of an unknown kind: `ActionRegistry.check` keeps such a saga from being run."""
        output = NULL
        match self.dag.nodes[node_id]:
            case UnknownNode():
                return None
            case ActionNode():
                return RunAction(node_id)
            case ConstantNode(_, value):
                output = value
            case SubsagaEndNode():
                (last,) = self.dag.parents[node_id]
                inner = self._log.output(last)
                assert inner is not None, "it starts when its one parent has succeeded"
                output = inner
            case StartNode() | EndNode() | SubsagaStartNode():
                pass
        return Pass(node_id, (*before, NodeEvent.succeeded(self.saga_id, node_id, output)))

    def _backward(self, node_id: NodeId, *before: NodeEvent) -> Command:
        if isinstance(self.dag.nodes[node_id], ActionNode):
            return RunUndo(node_id)
        return Pass(node_id, (*before, NodeEvent.undo_finished(self.saga_id, node_id)))

    def _check_order(self, event: NodeEvent) -> None:
        """What the order of a live run adds to `_check_shape`."""
        if event.kind is E.STARTED and not self._may_start(event.node_id):
            raise self._log.illegal(event, "a parent has not succeeded, or the saga unwinds")
        if event.kind is E.UNDO_STARTED and not self._may_undo(event.node_id):
            raise self._log.illegal(event, "a child is not undone yet, or the saga does not unwind, or is stuck")

    def _check_shape(self) -> None:
        """Whether these statuses can come from any run, whatever the order of the events was."""
        statuses = self._log.statuses
        undoing = [index for index, status in enumerate(statuses) if status in HAS_SUCCEEDED - {S.SUCCEEDED}]
        if undoing and S.FAILED not in statuses:
            raise self._impossible(undoing[0], "is being undone, but no node failed")
        if statuses[self.dag.end_node] is not S.NEVER_STARTED and S.FAILED in statuses:
            raise self._impossible(self.dag.end_node, "has started, but a node failed")
        for index, status in enumerate(statuses):
            for parent in self.dag.parents[index]:
                if status in NEEDS_PARENTS_SUCCEEDED and statuses[parent] is not S.SUCCEEDED:
                    raise self._impossible(index, f"rests on node {parent}, which is {statuses[parent]}")
                if status in NEEDS_PARENTS_RUN and statuses[parent] not in HAS_SUCCEEDED:
                    raise self._impossible(index, f"depends on node {parent}, which is {statuses[parent]}")

    def _impossible(self, index: int, reason: str) -> IllegalEvent:
        status = self._log.status(NodeId(index))
        return IllegalEvent(f"saga {self.saga_id}: node {index}, whose status is {status}, {reason}")
