"""Whatever a saga was doing, it can be recovered after an injection, and ends undone: by every prefix of its logs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from saga_lab import SAGA_ID

from nexus.saga.action_error import ActionFailed
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.execution import Finish, Pass, RunAction, RunUndo, SagaExecution, SagaFailed
from nexus.saga.log import EventKind, NodeEvent, NodeStatus
from nexus.saga.nodes import ActionNode, EndNode, constant
from nexus.saga.payload import NULL

if TYPE_CHECKING:
    from nexus.saga.dag import SagaDag
    from nexus.saga.ids import NodeId

INJECTED = ActionFailed({"message": "error injected with omdb"})


def node(name: str) -> ActionNode:
    return ActionNode(name, name, f"test.{name}")


DAG = (
    DagBuilder("test")
    .append(node("a"))
    .append_parallel([node("b"), constant("c", 3), node("d")])
    .append_parallel([node("e"), node("f")])
    .append(node("g"))
    .build(None)
)


def one_step(execution: SagaExecution, choice: random.Random, *, failing: NodeId | None = None) -> list[NodeEvent]:
    """Begin or end something that is due. Empty at the end."""
    match choice.choice(execution.next_commands()):
        case Pass(_, events):
            steps = list(events)
        case RunAction(node_id):
            started = execution.status(node_id) is NodeStatus.STARTED
            failed = NodeEvent.failed(SAGA_ID, node_id, INJECTED)
            ended = failed if node_id == failing else NodeEvent.succeeded(SAGA_ID, node_id, NULL)
            steps = [ended if started else NodeEvent.started(SAGA_ID, node_id)]
        case RunUndo(node_id):
            started = execution.status(node_id) is NodeStatus.UNDO_STARTED
            make = NodeEvent.undo_finished if started else NodeEvent.undo_started
            steps = [make(SAGA_ID, node_id)]
        case Finish():
            return []
    for event in steps:
        execution.record(event)
    return steps


def log(seed: int, *, failing: NodeId | None) -> list[NodeEvent]:
    choice = random.Random(seed)
    execution = SagaExecution(SAGA_ID, DAG)
    events: list[NodeEvent] = []
    while steps := one_step(execution, choice, failing=failing):
        events += steps
    return events


def injected(dag: SagaDag, events: list[NodeEvent]) -> list[NodeEvent]:
    """As `inject_error` picks them; empty if it refuses."""
    started = {event.node_id for event in events if event.kind is EventKind.STARTED}
    ended = {event.node_id for event in events if event.kind in (EventKind.SUCCEEDED, EventKind.FAILED)}
    running = sorted(started - ended)
    if any(isinstance(dag.nodes[node_id], EndNode) for node_id in running):
        return []
    return [NodeEvent.failed(SAGA_ID, node_id, INJECTED) for node_id in running]


@pytest.mark.parametrize("failing", [None, DAG.find("e")])
def test_every_prefix(failing: NodeId | None) -> None:
    injections = 0
    for seed in range(20):
        events = log(seed, failing=failing)
        for length in range(len(events)):
            failures = injected(DAG, events[:length])
            if not failures:
                continue
            injections += 1
            recovered = SagaExecution(SAGA_ID, DAG, [*events[:length], *failures])
            while one_step(recovered, random.Random(seed)):
                pass
            (finish,) = recovered.next_commands()
            assert isinstance(finish, Finish)
            assert isinstance(finish.outcome, SagaFailed)
            assert finish.outcome.error == INJECTED
            assert NodeStatus.SUCCEEDED not in recovered.statuses
    assert injections > 100
