"""What a saga does next: the rows of the recovery table, and which logs cannot be."""

from __future__ import annotations

import pytest
from saga_lab import SAGA_ID
from saga_shapes import Part, Shape

from nexus.saga.action_error import ActionFailed, InjectedError, UndoActionError
from nexus.saga.errors import IllegalEvent, OutputNotFound
from nexus.saga.execution import (
    Command,
    Finish,
    Outcome,
    Pass,
    RunAction,
    RunUndo,
    SagaExecution,
    SagaFailed,
    SagaStuck,
    SagaSucceeded,
)
from nexus.saga.ids import NodeId
from nexus.saga.log import EventData, EventKind, NodeEvent, NodeStatus
from nexus.saga.payload import Payload

A = Part.ACTION

CHAIN = Shape(((A,), (A,), (A,)))  # 0 - 1 - 2, Start 3, End 4
FORK = Shape(((A, A), (A,)))  # 0 and 1, then 2; Start 3, End 4
CONSTANTS = Shape(((Part.CONSTANT,), (Part.CONSTANT,)))  # 0 - 1, Start 2, End 3

LETTERS = {
    "S": EventKind.STARTED,
    "+": EventKind.SUCCEEDED,
    "-": EventKind.FAILED,
    "U": EventKind.UNDO_STARTED,
    "u": EventKind.UNDO_FINISHED,
    "!": EventKind.UNDO_FAILED,
}


def event(node: int, letter: str) -> NodeEvent:
    kind = LETTERS[letter]
    data: dict[EventKind, EventData] = {
        EventKind.SUCCEEDED: Payload(str(node).encode()),
        EventKind.FAILED: ActionFailed(node),
        EventKind.UNDO_FAILED: UndoActionError(node),
    }
    return NodeEvent(SAGA_ID, NodeId(node), kind, data.get(kind))


def events(text: str) -> list[NodeEvent]:
    """`3S+ 0S+ 1S-`: for each node its events."""
    return [event(int(word[0]), letter) for word in text.split() for letter in word[1:]]


def execution(shape: Shape, text: str) -> SagaExecution:
    return SagaExecution(SAGA_ID, shape.dag(), events(text))


def brief(commands: tuple[Command, ...]) -> str:
    words = []
    for command in commands:
        match command:
            case RunAction(node):
                words.append(f"run {node}")
            case RunUndo(node):
                words.append(f"undo {node}")
            case Pass(node, passed):
                letters = "".join(letter for one in passed for letter, kind in LETTERS.items() if kind is one.kind)
                words.append(f"pass {node}{letters}")
            case Finish(SagaSucceeded()):
                words.append("succeeded")
            case Finish(SagaFailed(node_name)):
                words.append(f"failed {node_name}")
            case Finish(SagaStuck(node_name, _, undo_node_name)):
                words.append(f"stuck {node_name} {undo_node_name}")
    return ", ".join(words)


@pytest.mark.parametrize(
    ("shape", "log", "due"),
    [
        # forward
        (CHAIN, "", "pass 3S+"),
        (CHAIN, "3S", "pass 3+"),
        (CHAIN, "3S+", "run 0"),
        (CHAIN, "3S+ 0S", "run 0"),
        (CHAIN, "3S+ 0S+", "run 1"),
        (CHAIN, "3S+ 0S+ 1S+ 2S+", "pass 4S+"),
        (CHAIN, "3S+ 0S+ 1S+ 2S+ 4S", "pass 4+"),
        (CHAIN, "3S+ 0S+ 1S+ 2S+ 4S+", "succeeded"),
        (FORK, "3S+", "run 0, run 1"),
        (FORK, "3S+ 0S+ 1S", "run 1"),
        (FORK, "3S+ 0S+ 1S+", "run 2"),
        (CONSTANTS, "2S+", "pass 0S+"),
        # unwinding
        (CHAIN, "3S+ 0S+ 1S-", "undo 0"),
        (CHAIN, "3S+ 0S+U 1S-", "undo 0"),
        (CHAIN, "3S+ 0S+Uu 1S-", "pass 3Uu"),
        (CHAIN, "3S+U 0S+Uu 1S-", "pass 3u"),
        (CHAIN, "3S+Uu 0S+Uu 1S-", "failed n1"),
        (CHAIN, "3S+ 0S+ 1S+ 2S-", "undo 1"),
        (CHAIN, "3S+ 0S-", "pass 3Uu"),
        (CHAIN, "3S+ 0S+U! 1S-", "stuck n1 n0"),
        # a node found started is run to its end, then undone only if it succeeded
        (FORK, "3S+ 0S- 1S", "run 1"),
        (FORK, "3S+ 0S- 1S+", "undo 1"),
        (FORK, "3S+ 0S- 1S-", "pass 3Uu"),
        (FORK, "3S+ 0S- 1S+Uu", "pass 3Uu"),
        # one of two that never started stays so
        (FORK, "3S+ 0S-", "pass 3Uu"),
        # what upstream refuses: a branch undone, while the join never started
        (FORK, "3S+ 0S+U 1S-", "undo 0"),
        (FORK, "3S+ 0S+Uu 1S-", "pass 3Uu"),
        (FORK, "3S+ 0S+Uu 1S+U 2S-", "undo 1"),
        (FORK, "3S+ 0S+ 1S+ 2S-", "undo 0, undo 1"),
        (FORK, "3S+ 0S+Uu 1S+ 2S-", "undo 1"),
        # stuck: what runs is run to its end, no further undo begins
        (FORK, "3S+ 0S+U! 1S+U 2S-", "undo 1"),
        (FORK, "3S+ 0S+U! 1S+ 2S-", "stuck n2 n0"),
        (FORK, "3S+ 0S+U! 1S+Uu 2S-", "stuck n2 n0"),
        (FORK, "3S+ 0S+U! 1S+U! 2S-", "stuck n2 n0"),
    ],
)
def test_what_is_due(shape: Shape, log: str, due: str) -> None:
    assert brief(execution(shape, log).next_commands()) == due
    # the same with the events in another order
    assert brief(SagaExecution(SAGA_ID, shape.dag(), reversed(events(log))).next_commands()) == due


@pytest.mark.parametrize(
    ("shape", "log", "reason"),
    [
        (CHAIN, "0S", "node 0, whose status is started, rests on node 3, which is never_started"),
        (CHAIN, "3S 0S", "rests on node 3, which is started"),
        (CHAIN, "3S+ 0S- 1S", "rests on node 0, which is failed"),
        (CHAIN, "3S+ 0S- 1S-", "depends on node 0, which is failed"),
        (CHAIN, "3S+ 1S-", "depends on node 0, which is never_started"),
        (CHAIN, "3S+ 0S+U 1S+ 2S-", "node 1, whose status is succeeded, rests on node 0, which is undo_started"),
        (CHAIN, "3S+ 0S+Uu 1S 2S-", "rests on node 0, which is undo_finished"),
        (CHAIN, "3S+ 0S+Uu 1S+U 2S-", "rests on node 0"),
        (CHAIN, "3S+ 0S+U 1S+U! 2S-", "rests on node 0"),
        (CHAIN, "3S+ 0S+U", "node 0, whose status is undo_started, is being undone, but no node failed"),
        (FORK, "3S+ 0S+ 1S- 2S", "rests on node 1, which is failed"),
        (FORK, "3S+U 0S+ 1S-", "node 0, whose status is succeeded, rests on node 3, which is undo_started"),
        (FORK, "3S+ 0S+ 1S- 4S", "node 4, whose status is started, has started, but a node failed"),
        (CHAIN, "3S+ 0-", "event failed of node 0, whose status is never_started"),
        (CHAIN, "3S+ 0S+-", "event failed of node 0, whose status is succeeded"),
    ],
)
def test_logs_that_cannot_be(shape: Shape, log: str, reason: str) -> None:
    with pytest.raises(IllegalEvent, match=reason):
        execution(shape, log)


@pytest.mark.parametrize(
    ("shape", "log", "node", "letter"),
    [
        (CHAIN, "", 0, "S"),
        (CHAIN, "3S+ 0S", 1, "S"),
        (FORK, "3S+ 0S-", 1, "S"),
        (CHAIN, "3S+ 0S+", 0, "U"),
        (CHAIN, "3S+ 0S+ 1S+ 2S-", 0, "U"),
        (FORK, "3S+ 0S+ 1S+ 2S-", 3, "U"),
        (FORK, "3S+ 0S+U! 1S+ 2S-", 1, "U"),
        (CHAIN, "3S+ 0S+ 1S+ 2S+ 4S+", 4, "U"),
    ],
)
def test_an_event_before_its_time_changes_nothing(shape: Shape, log: str, node: int, letter: str) -> None:
    saga = execution(shape, log)
    before = saga.statuses, saga.next_commands()
    with pytest.raises(IllegalEvent, match=f"event {LETTERS[letter]} of node {node}, whose status is "):
        saga.record(event(node, letter))
    assert (saga.statuses, saga.next_commands()) == before


@pytest.mark.parametrize(
    ("shape", "log", "outcome"),
    [
        (CHAIN, "3S+ 0S+ 1S+ 2S+ 4S+", SagaSucceeded()),
        (FORK, "3S+Uu 1S- 0S-", SagaFailed("n0", ActionFailed(0))),
        (FORK, "3S+ 1S+U! 0S+U! 2S-", SagaStuck("n2", ActionFailed(2), "n0", UndoActionError(0))),
    ],
)
def test_outcome_tells_the_lowest_node(shape: Shape, log: str, outcome: Outcome) -> None:
    assert execution(shape, log).next_commands() == (Finish(outcome),)


def test_who_sees_which_output() -> None:
    saga = execution(FORK, "3S+ 0S+ 1S+U 2S-")
    assert saga.output("n0", seen_from=NodeId(2)) == b"0"
    assert saga.output("n1", seen_from=NodeId(1)) == b"1"  # its undo action sees its own
    for name, seen_from in [("n1", 0), ("n2", 0), ("n2", 2), ("nobody", 2)]:
        with pytest.raises(OutputNotFound, match=f'does not depend on a node "{name}"'):
            saga.output(name, seen_from=NodeId(seen_from))


def test_constants_pass_with_their_value() -> None:
    (command,) = execution(CONSTANTS, "2S+ 0S+").next_commands()
    assert isinstance(command, Pass)
    assert [passed.data for passed in command.events] == [None, b"1"]


def test_statuses() -> None:
    saga = execution(FORK, "3S+ 0S+ 1S")
    assert saga.statuses[:2] == (NodeStatus.SUCCEEDED, NodeStatus.STARTED)
    assert saga.has_succeeded(NodeId(0))
    assert not saga.has_succeeded(NodeId(1))
    assert not saga.unwinding
    saga.record(NodeEvent.failed(SAGA_ID, NodeId(1), InjectedError()))
    assert saga.unwinding
    assert not saga.stuck
