"""Random DAG x random schedule x failures x crash at any event, in the pure core, against the oracle of `saga_lab`."""

from __future__ import annotations

from random import Random

from hypothesis import given, note, settings
from hypothesis import strategies as st
from saga_lab import FUZZED, SAGA_ID
from saga_oracle import LogOracle, World, brief
from saga_shapes import Shape, shapes

from nexus.saga.action_error import ActionFailed, UndoActionError
from nexus.saga.errors import IllegalEvent
from nexus.saga.execution import (
    Command,
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
from nexus.saga.log import NodeEvent, NodeStatus
from nexus.saga.payload import encode

ENDS = {SagaSucceeded: "succeeded", SagaFailed: "failed", SagaStuck: "stuck"}


class Run:
    """The shell of the executor in miniature: what it enqueues, what is durable, which calls are under way."""

    def __init__(self, shape: Shape, *, random: Random, failure_rate: float, crash_rate: float) -> None:
        self.shape = shape
        self.dag = shape.dag()
        self.random = random
        self.crash_rate = crash_rate
        self.events: list[NodeEvent] = []
        self.durable = 0
        self.calling: set[Command] = set()
        self.execution = SagaExecution(SAGA_ID, self.dag)
        self.world = World(
            shape, lambda verb, node: random.random() < failure_rate, durable=lambda: self.events[: self.durable]
        )

    def to_the_end(self) -> str:
        for _ in range(10_000):
            commands = self.execution.next_commands()
            self.check_rebuilt(commands)
            match commands:
                case (Finish(outcome),):
                    assert not self.calling, "finished while something runs"
                    return ENDS[type(outcome)]
                case _:
                    self.step(commands)
            if self.random.random() < self.crash_rate:
                self.crash()
        raise AssertionError("the saga never ends")

    def check_rebuilt(self, commands: tuple[Command, ...]) -> None:
        shuffled = self.random.sample(self.events, len(self.events))
        assert SagaExecution(SAGA_ID, self.dag, shuffled).next_commands() == commands

    def step(self, commands: tuple[Command, ...]) -> None:
        assert self.calling <= set(commands), "a call that is under way is not due any more"
        match self.random.choice(commands):
            case Pass(_, events):
                for event in events:
                    self.record(event)
            case RunAction(node_id) as command if command not in self.calling:
                self.begin(command, "act", NodeEvent.started(SAGA_ID, node_id), NodeStatus.NEVER_STARTED)
            case RunUndo(node_id) as command if command not in self.calling:
                self.begin(command, "undo", NodeEvent.undo_started(SAGA_ID, node_id), NodeStatus.SUCCEEDED)
            case RunAction(node_id) as command:
                self.calling.remove(command)
                if self.world.finish("act", node_id):
                    self.record(NodeEvent.succeeded(SAGA_ID, node_id, encode(node_id)))
                else:
                    self.record(NodeEvent.failed(SAGA_ID, node_id, ActionFailed("no")))
            case RunUndo(node_id) as command:
                self.calling.remove(command)
                if self.world.finish("undo", node_id):
                    self.record(NodeEvent.undo_finished(SAGA_ID, node_id))
                else:
                    self.record(NodeEvent.undo_failed(SAGA_ID, node_id, UndoActionError("no")))
            case other:
                raise AssertionError(other)

    def begin(self, command: RunAction | RunUndo, verb: str, event: NodeEvent, before: NodeStatus) -> None:
        if self.execution.status(command.node_id) is before:
            self.record(event)
        self.calling.add(command)
        self.durable = len(self.events)  # before any call
        self.world.begin(verb, command.node_id)

    def record(self, event: NodeEvent) -> None:
        self.execution.record(event)
        self.events.append(event)

    def crash(self) -> None:
        """What is durable is a prefix that holds at least all that was waited for."""
        self.durable = self.random.randint(self.durable, len(self.events))
        del self.events[self.durable :]
        self.calling.clear()
        shuffled = self.random.sample(self.events, len(self.events))
        self.execution = SagaExecution(SAGA_ID, self.dag, shuffled)


@FUZZED
@given(
    shape=shapes(),
    seed=st.integers(0, 2**32),
    failure_rate=st.sampled_from([0.0, 0.1, 0.4]),
    crash_rate=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_g3_every_run_ends_as_the_oracle_says(shape: Shape, seed: int, failure_rate: float, crash_rate: float) -> None:
    run = Run(shape, random=Random(seed), failure_rate=failure_rate, crash_rate=crash_rate)
    end = run.to_the_end()
    note(str(brief(run.events)))
    if failure_rate == 0:
        assert end == "succeeded"
    run.world.check_end(run.events, end)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(shape=shapes(), seed=st.integers(0, 2**32))
def test_every_prefix_of_a_log_goes_on(shape: Shape, seed: int) -> None:
    """Not only those that the waits allow: no prefix is refused, and each has something due."""
    random = Random(seed)
    run = Run(shape, random=random, failure_rate=0.3, crash_rate=0.0)
    run.to_the_end()
    for length in range(len(run.events) + 1):
        prefix = random.sample(run.events[:length], length)
        commands = SagaExecution(SAGA_ID, run.dag, prefix).next_commands()
        ended = LogOracle(shape).read(brief(run.events[:length])).end()
        assert any(isinstance(command, Finish) for command in commands) == (ended is not None)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(shape=shapes(max_stages=3, max_width=2), seed=st.integers(0, 2**32))
def test_an_event_out_of_order_is_refused(shape: Shape, seed: int) -> None:
    """At every point of a run, exactly those events are taken that the oracle would let through."""
    random = Random(seed)
    run = Run(shape, random=random, failure_rate=0.3, crash_rate=0.0)
    run.to_the_end()
    cut = random.randint(0, len(run.events))
    history = run.events[:cut]
    for node_id in range(shape.end + 1):
        for event in _every_event(NodeId(node_id)):
            taken = _taken(SagaExecution(SAGA_ID, run.dag, history), event)
            assert taken == _plausible(shape, history, event), event


def _every_event(node_id: NodeId) -> list[NodeEvent]:
    return [
        NodeEvent.started(SAGA_ID, node_id),
        NodeEvent.succeeded(SAGA_ID, node_id),
        NodeEvent.failed(SAGA_ID, node_id, ActionFailed(None)),
        NodeEvent.undo_started(SAGA_ID, node_id),
        NodeEvent.undo_finished(SAGA_ID, node_id),
        NodeEvent.undo_failed(SAGA_ID, node_id, UndoActionError(None)),
    ]


def _taken(execution: SagaExecution, event: NodeEvent) -> bool:
    before = execution.statuses, execution.next_commands()
    try:
        execution.record(event)
    except IllegalEvent:
        assert (execution.statuses, execution.next_commands()) == before
        return False
    return True


def _plausible(shape: Shape, history: list[NodeEvent], event: NodeEvent) -> bool:
    try:
        LogOracle(shape).read(brief([*history, event]))
    except AssertionError:
        return False
    return True
