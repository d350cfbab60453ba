"""How a node failed, as data in the saga's log. Pure.

The JSON is upstream's, externally tagged: `{"ActionFailed": {"source_error": ...}}`, `"InjectedError"`,
`{"DeserializeFailed": {"message": "..."}}`; for an undo action `{"PermanentFailure": {"source_error": ...}}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nexus.saga.payload import JsonValue


@dataclass(frozen=True, slots=True)
class ActionFailed:
    """The action itself raised. `source_error` is `{"message": ...}` unless it chose something else."""

    source_error: JsonValue


@dataclass(frozen=True, slots=True)
class DeserializeFailed:
    """The output of an ancestor is not of the type that the action asked for."""

    message: str


@dataclass(frozen=True, slots=True)
class InjectedError:
    """Somebody asked for the node to fail."""


@dataclass(frozen=True, slots=True)
class SerializeFailed:
    """What the action returned, or the error it raised, cannot be stored."""

    message: str


@dataclass(frozen=True, slots=True)
class SubsagaCreateFailed:
    message: str


ActionError: TypeAlias = ActionFailed | DeserializeFailed | InjectedError | SerializeFailed | SubsagaCreateFailed


@dataclass(frozen=True, slots=True)
class UndoActionError:
    """An undo action failed for good: the saga is stuck. Upstream's `PermanentFailure`."""

    source_error: JsonValue


def action_error_to_json(error: ActionError) -> JsonValue:
    match error:
        case InjectedError():
            return "InjectedError"
        case ActionFailed(source_error):
            return {"ActionFailed": {"source_error": source_error}}
        case DeserializeFailed(message) | SerializeFailed(message) | SubsagaCreateFailed(message):
            return {type(error).__name__: {"message": message}}


def action_error_from_json(value: JsonValue) -> ActionError:
    """Raises ValueError."""
    match value:
        case "InjectedError":
            return InjectedError()
        case {"ActionFailed": {"source_error": source_error}}:
            return ActionFailed(source_error)
        case {"DeserializeFailed": {"message": str(message)}}:
            return DeserializeFailed(message)
        case {"SerializeFailed": {"message": str(message)}}:
            return SerializeFailed(message)
        case {"SubsagaCreateFailed": {"message": str(message)}}:
            return SubsagaCreateFailed(message)
        case _:
            raise ValueError(f"not an action error: {value!r:.200}")


def undo_error_to_json(error: UndoActionError) -> JsonValue:
    return {"PermanentFailure": {"source_error": error.source_error}}


def undo_error_from_json(value: JsonValue) -> UndoActionError:
    """Raises ValueError."""
    match value:
        case {"PermanentFailure": {"source_error": source_error}}:
            return UndoActionError(source_error)
        case _:
            raise ValueError(f"not an undo action error: {value!r:.200}")
