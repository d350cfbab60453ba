"""The saga log: events, the state machine of a node, and replay. Pure.

`TRANSITIONS` is the whole state machine of one node; what follows from the DAG (which node may start when) is in
`execution.py`. The diagram in `docs/saga-engine.md` is made from the table by `diagram`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from nexus.saga.action_error import (
    ActionError,
    UndoActionError,
    action_error_from_json,
    action_error_to_json,
    undo_error_from_json,
    undo_error_to_json,
)
from nexus.saga.errors import CorruptLog, IllegalEvent
from nexus.saga.payload import NULL, Payload, encode, to_json_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexus.saga.ids import NodeId, SagaId


class EventKind(StrEnum):
    """In the order in which one node can have them, which is the order of replay."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDO_STARTED = "undo_started"
    UNDO_FINISHED = "undo_finished"
    UNDO_FAILED = "undo_failed"


class NodeStatus(StrEnum):
    NEVER_STARTED = "never_started"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDO_STARTED = "undo_started"
    UNDO_FINISHED = "undo_finished"
    UNDO_FAILED = "undo_failed"


S, E = NodeStatus, EventKind

TRANSITIONS: Mapping[NodeStatus, Mapping[EventKind, NodeStatus]] = {
    S.NEVER_STARTED: {E.STARTED: S.STARTED},
    S.STARTED: {E.SUCCEEDED: S.SUCCEEDED, E.FAILED: S.FAILED},
    S.SUCCEEDED: {E.UNDO_STARTED: S.UNDO_STARTED},  # only a succeeded action is ever undone
    S.UNDO_STARTED: {E.UNDO_FINISHED: S.UNDO_FINISHED, E.UNDO_FAILED: S.UNDO_FAILED},
    S.FAILED: {},
    S.UNDO_FINISHED: {},
    S.UNDO_FAILED: {},
}

EventData: TypeAlias = Payload | ActionError | UndoActionError | None

_REPLAY_ORDER: Mapping[EventKind, int] = {kind: place for place, kind in enumerate(EventKind)}


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One entry of the log. `data` is the output of `succeeded`, the error of `failed` and `undo_failed`, else None.

    Use the constructors named for the kinds: each takes what its kind must have.
    """

    saga_id: SagaId
    node_id: NodeId
    kind: EventKind
    data: EventData = None

    @classmethod
    def started(cls, saga_id: SagaId, node_id: NodeId) -> NodeEvent:
        return cls(saga_id, node_id, EventKind.STARTED)

    @classmethod
    def succeeded(cls, saga_id: SagaId, node_id: NodeId, output: Payload = NULL) -> NodeEvent:
        return cls(saga_id, node_id, EventKind.SUCCEEDED, output)

    @classmethod
    def failed(cls, saga_id: SagaId, node_id: NodeId, error: ActionError) -> NodeEvent:
        return cls(saga_id, node_id, EventKind.FAILED, error)

    @classmethod
    def undo_started(cls, saga_id: SagaId, node_id: NodeId) -> NodeEvent:
        return cls(saga_id, node_id, EventKind.UNDO_STARTED)

    @classmethod
    def undo_finished(cls, saga_id: SagaId, node_id: NodeId) -> NodeEvent:
        return cls(saga_id, node_id, EventKind.UNDO_FINISHED)

    @classmethod
    def undo_failed(cls, saga_id: SagaId, node_id: NodeId, error: UndoActionError) -> NodeEvent:
        return cls(saga_id, node_id, EventKind.UNDO_FAILED, error)

    def data_to_json(self) -> Payload | None:
        """What a store keeps beside saga, node and kind."""
        match self.data:
            case None:
                return None
            case bytes():
                return self.data
            case UndoActionError():
                return encode(undo_error_to_json(self.data))
            case error:
                return encode(action_error_to_json(error))

    @classmethod
    def from_stored(cls, saga_id: SagaId, node_id: NodeId, kind: str, data: Payload | None) -> NodeEvent:
        """The event that a store has kept. Raises CorruptLog."""
        try:
            match EventKind(kind), data:
                case EventKind.SUCCEEDED, bytes():
                    return cls.succeeded(saga_id, node_id, data)
                case EventKind.FAILED, bytes():
                    return cls.failed(saga_id, node_id, action_error_from_json(to_json_value(data)))
                case EventKind.UNDO_FAILED, bytes():
                    return cls.undo_failed(saga_id, node_id, undo_error_from_json(to_json_value(data)))
                case (EventKind.STARTED | EventKind.UNDO_STARTED | EventKind.UNDO_FINISHED) as known, None:
                    return cls(saga_id, node_id, known)
                case known, _:
                    raise ValueError(f"{known} {'without' if data is None else 'with'} data")
        except ValueError as error:
            raise CorruptLog(f"saga {saga_id}: event of node {node_id}: {error}") from error


class SagaLog:
    """The status of every node of one saga, and what its events carried."""

    __slots__ = ("_data", "_statuses", "saga_id")

    def __init__(self, saga_id: SagaId, size: int) -> None:
        self.saga_id = saga_id
        self._statuses = [NodeStatus.NEVER_STARTED] * size
        self._data: dict[tuple[NodeId, EventKind], EventData] = {}

    @property
    def statuses(self) -> tuple[NodeStatus, ...]:
        """By node id."""
        return tuple(self._statuses)

    def status(self, node_id: NodeId) -> NodeStatus:
        return self._statuses[node_id]

    def output(self, node_id: NodeId) -> Payload | None:
        """What the node returned, whether it has been undone since or not."""
        data = self._data.get((node_id, EventKind.SUCCEEDED))
        return data if isinstance(data, bytes) else None

    def error(self, node_id: NodeId) -> ActionError | None:
        data = self._data.get((node_id, EventKind.FAILED))
        return None if isinstance(data, bytes | UndoActionError) else data

    def undo_error(self, node_id: NodeId) -> UndoActionError | None:
        data = self._data.get((node_id, EventKind.UNDO_FAILED))
        return data if isinstance(data, UndoActionError) else None

    def next_status(self, event: NodeEvent) -> NodeStatus:
        """What the event turns its node into. Raises IllegalEvent; changes nothing."""
        if event.saga_id != self.saga_id:
            raise IllegalEvent(f"saga {self.saga_id}: event of another saga, {event.saga_id}")
        if not 0 <= event.node_id < len(self._statuses):
            raise IllegalEvent(f"saga {self.saga_id}: event {event.kind} of node {event.node_id}, which does not exist")
        following = TRANSITIONS[self._statuses[event.node_id]].get(event.kind)
        if following is None:
            raise self.illegal(event, "the node cannot go on so")
        return following

    def apply(self, event: NodeEvent) -> NodeStatus:
        """Raises IllegalEvent and leaves the log as it was."""
        following = self.next_status(event)
        self._statuses[event.node_id] = following
        if event.data is not None:
            self._data[event.node_id, event.kind] = event.data
        return following

    def illegal(self, event: NodeEvent, reason: str) -> IllegalEvent:
        return IllegalEvent(
            f"saga {self.saga_id}: event {event.kind} of node {event.node_id}, "
            f"whose status is {self._statuses[event.node_id]}: {reason}"
        )


def replay(saga_id: SagaId, size: int, events: Iterable[NodeEvent]) -> SagaLog:
    """The log that these events make, in whatever order they were stored. Raises IllegalEvent."""
    log = SagaLog(saga_id, size)
    for event in sorted(events, key=lambda event: _REPLAY_ORDER[event.kind]):
        log.apply(event)
    return log


def diagram() -> str:
    """`TRANSITIONS` as a mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {NodeStatus.NEVER_STARTED}"]
    for status, row in TRANSITIONS.items():
        lines += [f"    {status} --> {following}: {kind}" for kind, following in row.items()]
        if not row:
            lines.append(f"    {status} --> [*]")
    return "\n".join(lines)
