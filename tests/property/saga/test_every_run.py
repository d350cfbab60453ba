"""Every run of every small saga, in the pure core: no chance in it.

All DAGs of stages with up to four actions and constants, also in subsagas in every nesting; every outcome of every
action and every undo; every order in which events can follow each other; a crash after each of them. That is a great
many runs, but they go through few states, and what follows depends on the state alone. So the states are walked, each
once:

- Which events can come next is said by the oracle of `saga_oracle`. The engine, rebuilt from the events of the state in
  several orders, must say that exactly these are due, or that the saga is finished, and how.
- Each of these events, recorded, must lead to what a rebuild from the longer log leads to. So whether a saga crashes in
  a state or not makes no difference, in that state and, by induction, in all that follow.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cache
from operator import add
from typing import TYPE_CHECKING, TypeAlias

import pytest
from saga_lab import SAGA_ID
from saga_oracle import LogOracle
from saga_shapes import Element, Part, Shape

from nexus.saga.action_error import ActionFailed, UndoActionError
from nexus.saga.execution import (
    Finish,
    Pass,
    RunAction,
    RunUndo,
    SagaExecution,
    SagaFailed,
    SagaStuck,
    SagaSucceeded,
)
from nexus.saga.ids import NodeId
from nexus.saga.log import EventKind, NodeEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nexus.saga.dag import SagaDag

Event: TypeAlias = tuple[int, str]
State: TypeAlias = frozenset[Event]
"""The events that have happened. Their order says nothing more."""

AFTER: Mapping[str | None, tuple[str, ...]] = {
    None: ("started",),
    "started": ("succeeded", "failed"),
    "succeeded": ("undo_started",),
    "undo_started": ("undo_finished", "undo_failed"),
    "failed": (),
    "undo_finished": (),
    "undo_failed": (),
}
"""By the last event of a node, what its next one can be."""

KINDS = [str(kind) for kind in EventKind]

FAILURES = ("failed", "undo_failed")
"""Only what calls something can fail."""


@dataclass(frozen=True)
class Counts:
    """Of one saga, or of many."""

    sagas: int = 0
    states: int = 0
    events: int = 0
    """Ways from one state to the next."""

    runs: int = 0
    """Ways from the first state to an end: all schedules of all outcomes."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, astuple(self), astuple(other)))


def sagas(nodes: int) -> Iterator[Shape]:
    return map(Shape, stages(nodes))


def stages(nodes: int, *, first: bool = True) -> Iterator[tuple[tuple[Element, ...], ...]]:
    """All of so many nodes in all. The first stage has no subsaga, and the last has one element."""
    for taken in range(1, nodes + 1):
        for stage in parallel(taken, subsagas=not first):
            if taken < nodes:
                for rest in stages(nodes - taken, first=False):
                    yield (stage, *rest)
            elif len(stage) == 1:
                yield (stage,)


def parallel(nodes: int, *, subsagas: bool) -> Iterator[tuple[Element, ...]]:
    for taken in range(1, nodes + 1):
        for element in elements(taken, subsagas=subsagas):
            if taken < nodes:
                for rest in parallel(nodes - taken, subsagas=subsagas):
                    yield (element, *rest)
            else:
                yield (element,)


def elements(nodes: int, *, subsagas: bool) -> Iterator[Element]:
    if nodes == 1:
        yield from (Part.ACTION, Part.CONSTANT)
    if subsagas:
        yield from sagas(nodes)


def walk(shape: Shape) -> Counts:
    dag = shape.dag()
    first: State = frozenset()
    next_states: dict[State, list[State]] = {}
    waiting = [(first, rebuilt(dag, []))]
    while waiting:
        state, gone_on = waiting.pop()
        events = in_order(state)
        execution = rebuilt(dag, events)
        assert picture(gone_on) == picture(execution), events
        if state in next_states:
            continue
        for other_order in (events[::-1], events[1::2] + events[::2]):
            assert picture(rebuilt(dag, other_order)) == picture(execution), events
        oracle = oracle_at(shape, state)
        possible = possible_events(shape, oracle, dict(events))
        next_states[state] = [state | {event} for event in possible]
        end = oracle.end()
        if end is None:
            assert due(execution, dict(events)) == set(possible), events
        else:
            assert not possible
            check_end(execution, shape, oracle, end)
        for event, following in zip(possible, next_states[state], strict=True):
            gone_on = rebuilt(dag, events)
            gone_on.record(node_event(event))
            waiting.append((following, gone_on))
    return Counts(1, len(next_states), sum(map(len, next_states.values())), runs(next_states)[first])


def runs(next_states: dict[State, list[State]]) -> dict[State, int]:
    counts: dict[State, int] = {}
    for state in sorted(next_states, key=len, reverse=True):
        counts[state] = sum(counts[following] for following in next_states[state]) or 1
    return counts


def in_order(state: State) -> list[Event]:
    """As a log might have it that was sorted by node."""
    return sorted(state, key=lambda event: (event[0], KINDS.index(event[1])))


def oracle_at(shape: Shape, state: State) -> LogOracle:
    oracle = LogOracle(shape)
    for node, kind in state:
        oracle.take(node, kind)
    return oracle


def possible_events(shape: Shape, oracle: LogOracle, last: Mapping[int, str]) -> list[Event]:
    """`last` is the last event of each node that has any."""
    calling = [node for node, part in enumerate(shape.parts) if part is Part.ACTION]
    candidates = [(node, kind) for node in shape.nodes for kind in AFTER[last.get(node)]]
    return [
        event for event in candidates if allowed(oracle, event) and (event[1] not in FAILURES or event[0] in calling)
    ]


def allowed(oracle: LogOracle, event: Event) -> bool:
    try:
        oracle.check(*event)
    except AssertionError:
        return False
    return True


@cache
def node_event(event: Event) -> NodeEvent:
    node, kind = event
    match EventKind(kind):
        case EventKind.SUCCEEDED:
            return NodeEvent.succeeded(SAGA_ID, NodeId(node))
        case EventKind.FAILED:
            return NodeEvent.failed(SAGA_ID, NodeId(node), ActionFailed(node))
        case EventKind.UNDO_FAILED:
            return NodeEvent.undo_failed(SAGA_ID, NodeId(node), UndoActionError(node))
        case other:
            return NodeEvent(SAGA_ID, NodeId(node), other)


def rebuilt(dag: SagaDag, events: Sequence[Event]) -> SagaExecution:
    return SagaExecution(SAGA_ID, dag, [node_event(event) for event in events])


def picture(execution: SagaExecution) -> object:
    """All that the execution knows: if two have the same, they say the same for ever."""
    known = dict(vars(execution))
    log = known.pop("_log")
    return (
        known | {"_failed": {*execution._failed}, "_undo_failed": {*execution._undo_failed}},
        log._statuses,
        log._data,
    )


def due(execution: SagaExecution, last: Mapping[int, str]) -> set[Event]:
    """The events that the engine's commands can lead to next."""
    events: set[Event] = set()
    for command in execution.next_commands():
        match command:
            case RunAction(node):
                assert last.get(node) in (None, "started")
                events |= {(node, kind) for kind in AFTER[last.get(node)]}
            case RunUndo(node):
                assert last[node] in ("succeeded", "undo_started")
                events |= {(node, kind) for kind in AFTER[last[node]]}
            case Pass(node, (first, *_)):
                events.add((node, str(first.kind)))
            case other:
                raise AssertionError(other)
    return events


def check_end(execution: SagaExecution, shape: Shape, oracle: LogOracle, end: str) -> None:
    """With several errors, that of the lowest node is told."""
    (command,) = execution.next_commands()
    assert isinstance(command, Finish)
    failed = min(oracle.failed, default=None)
    undo_failed = min(oracle.undo_failed, default=None)
    match command.outcome:
        case SagaSucceeded():
            assert (end, failed, undo_failed) == ("succeeded", None, None)
        case SagaFailed(name, error):
            assert (end, name, error, undo_failed) == ("failed", path(shape, failed), ActionFailed(failed), None)
        case SagaStuck(name, _, undo_name, undo_error):
            assert (end, name, undo_name) == ("stuck", path(shape, failed), path(shape, undo_failed))
            assert undo_error == UndoActionError(undo_failed)


def path(shape: Shape, node: int | None) -> str:
    assert node is not None
    return shape.vertices[node].path


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (1, Counts(sagas=2, states=17, events=15, runs=3)),
        (2, Counts(sagas=8, states=126, events=118, runs=18)),
        (3, Counts(sagas=64, states=1_810, events=1_872, runs=1_028)),
        (4, Counts(sagas=640, states=36_394, events=44_358, runs=24_589_600)),
    ],
    ids=["one node", "two nodes", "three nodes", "four nodes"],
)
def test_g3_every_run_of_every_small_saga(nodes: int, expected: Counts) -> None:
    """The counts are as they were found, so that nothing is passed over unseen."""
    counts = sum(map(walk, sagas(nodes)), Counts())
    print(f"{nodes} nodes: {counts}")
    assert counts == expected


@pytest.mark.parametrize("length", range(1, 7))
def test_a_chain_has_as_many_runs_as_can_be_counted_by_hand(length: int) -> None:
    """It succeeds; or node k fails, and then all k before it are undone, or the undo of one of them fails."""
    chain = Shape(((Part.ACTION,),) * length)
    assert walk(chain).runs == 1 + sum(1 + k for k in range(length))
