"""The state machine of a node, replay, and the JSON that a store keeps of an event."""

from __future__ import annotations

from itertools import permutations, product
from uuid import UUID

import pytest
from saga_lab import SAGA_ID

from nexus.saga.action_error import (
    ActionError,
    ActionFailed,
    DeserializeFailed,
    InjectedError,
    SerializeFailed,
    SubsagaCreateFailed,
    UndoActionError,
)
from nexus.saga.errors import CorruptLog, IllegalEvent
from nexus.saga.ids import NodeId, SagaId
from nexus.saga.log import TRANSITIONS, EventKind, NodeEvent, NodeStatus, SagaLog, replay
from nexus.saga.payload import Payload

NODE = NodeId(0)
FAILURE = ActionFailed({"message": "no"})
UNDO_FAILURE = UndoActionError({"message": "no"})

EVENTS = {
    EventKind.STARTED: NodeEvent.started(SAGA_ID, NODE),
    EventKind.SUCCEEDED: NodeEvent.succeeded(SAGA_ID, NODE, Payload(b"7")),
    EventKind.FAILED: NodeEvent.failed(SAGA_ID, NODE, FAILURE),
    EventKind.UNDO_STARTED: NodeEvent.undo_started(SAGA_ID, NODE),
    EventKind.UNDO_FINISHED: NodeEvent.undo_finished(SAGA_ID, NODE),
    EventKind.UNDO_FAILED: NodeEvent.undo_failed(SAGA_ID, NODE, UNDO_FAILURE),
}

PATHS = {
    NodeStatus.NEVER_STARTED: "",
    NodeStatus.STARTED: "started",
    NodeStatus.SUCCEEDED: "started succeeded",
    NodeStatus.FAILED: "started failed",
    NodeStatus.UNDO_STARTED: "started succeeded undo_started",
    NodeStatus.UNDO_FINISHED: "started succeeded undo_started undo_finished",
    NodeStatus.UNDO_FAILED: "started succeeded undo_started undo_failed",
}
"""How a node comes to each status, spelled out: not taken from the table."""


def log_at(status: NodeStatus) -> SagaLog:
    log = SagaLog(SAGA_ID, 1)
    for kind in PATHS[status].split():
        log.apply(EVENTS[EventKind(kind)])
    return log


def test_every_status_has_a_row() -> None:
    assert set(TRANSITIONS) == set(NodeStatus) == set(PATHS)


@pytest.mark.parametrize(("status", "kind"), list(product(NodeStatus, EventKind)))
def test_transition(status: NodeStatus, kind: EventKind) -> None:
    log = log_at(status)
    assert log.status(NODE) is status
    longer = f"{PATHS[status]} {kind}".strip()
    if longer in PATHS.values():
        assert PATHS[log.apply(EVENTS[kind])] == longer
    else:
        with pytest.raises(IllegalEvent, match=f"saga {SAGA_ID}: event {kind} of node 0, whose status is {status}:"):
            log.apply(EVENTS[kind])
        assert log.status(NODE) is status


@pytest.mark.parametrize("status", list(NodeStatus))
def test_replay_in_every_order(status: NodeStatus) -> None:
    events = [EVENTS[EventKind(kind)] for kind in PATHS[status].split()]
    for order in permutations(events):
        assert replay(SAGA_ID, 1, order).status(NODE) is status


def test_what_events_carried() -> None:
    log = log_at(NodeStatus.UNDO_FAILED)
    assert (log.output(NODE), log.error(NODE), log.undo_error(NODE)) == (b"7", None, UNDO_FAILURE)
    assert log_at(NodeStatus.FAILED).error(NODE) == FAILURE


def test_replay_refuses_what_is_no_log() -> None:
    started = EVENTS[EventKind.STARTED]
    with pytest.raises(IllegalEvent, match="cannot go on so"):
        replay(SAGA_ID, 1, [started, started])
    with pytest.raises(IllegalEvent, match="of another saga"):
        replay(SagaId(UUID(int=1)), 1, [started])
    with pytest.raises(IllegalEvent, match="of node 5, which does not exist"):
        replay(SAGA_ID, 1, [NodeEvent.started(SAGA_ID, NodeId(5))])
    with pytest.raises(IllegalEvent, match="of node -1, which does not exist"):
        replay(SAGA_ID, 1, [NodeEvent.started(SAGA_ID, NodeId(-1))])


@pytest.mark.parametrize(
    ("error", "json"),
    [
        (ActionFailed({"message": "no"}), b'{"ActionFailed":{"source_error":{"message":"no"}}}'),
        (ActionFailed(None), b'{"ActionFailed":{"source_error":null}}'),
        (InjectedError(), b'"InjectedError"'),
        (DeserializeFailed("x"), b'{"DeserializeFailed":{"message":"x"}}'),
        (SerializeFailed("x"), b'{"SerializeFailed":{"message":"x"}}'),
        (SubsagaCreateFailed("x"), b'{"SubsagaCreateFailed":{"message":"x"}}'),
    ],
)
def test_action_errors_as_upstream_spells_them(error: ActionError, json: bytes) -> None:
    event = NodeEvent.failed(SAGA_ID, NODE, error)
    assert event.data_to_json() == json
    assert NodeEvent.from_stored(SAGA_ID, NODE, "failed", Payload(json)) == event


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_event_comes_back_from_a_store(kind: EventKind) -> None:
    event = EVENTS[kind]
    assert NodeEvent.from_stored(SAGA_ID, NODE, str(kind), event.data_to_json()) == event


def test_undo_error_as_upstream_spells_it() -> None:
    json = b'{"PermanentFailure":{"source_error":{"message":"no"}}}'
    assert EVENTS[EventKind.UNDO_FAILED].data_to_json() == json


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("started", b"null"),
        ("undo_started", b"1"),
        ("undo_finished", b"1"),
        ("succeeded", None),
        ("failed", None),
        ("undo_failed", None),
        ("failed", b'"no"'),
        ("failed", b'{"Unheard":{}}'),
        ("failed", b'{"DeserializeFailed":{"message":3}}'),
        ("undo_failed", b'{"ActionFailed":{"source_error":null}}'),
        ("cancelled", None),
    ],
)
def test_stored_events_that_are_none(kind: str, data: bytes | None) -> None:
    with pytest.raises(CorruptLog, match=f"saga {SAGA_ID}: event of node 0: "):
        NodeEvent.from_stored(SAGA_ID, NODE, kind, None if data is None else Payload(data))


def test_a_null_output_is_an_output() -> None:
    assert NodeEvent.from_stored(SAGA_ID, NODE, "succeeded", Payload(b"null")).data == b"null"
