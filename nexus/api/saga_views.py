"""Sagas as the internal API shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nexus.api import types
from nexus.saga import action_error
from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.status import SagaRunning

if TYPE_CHECKING:
    from nexus.saga.action_error import ActionError
    from nexus.saga.status import SagaState, SagaStatus


def saga_view(status: SagaStatus) -> types.Saga:
    return types.Saga(status.saga_id, _state(status.state))


def _state(state: SagaState) -> types.SagaState:
    match state:
        case SagaRunning():
            return types.SagaRunning()
        case SagaSucceeded():
            return types.SagaSucceeded()
        case SagaFailed(node_name, error):
            return types.SagaFailed(node_name, _error_info(error))
        case SagaStuck(node_name, error, undo_node_name, undo_error):
            return types.SagaStuck(node_name, _error_info(error), undo_node_name, undo_error.source_error)
    assert_never(state)


def _error_info(error: ActionError) -> types.SagaErrorInfo:
    match error:
        case action_error.ActionFailed(source_error):
            return types.ActionFailed(source_error)
        case action_error.DeserializeFailed(message):
            return types.DeserializeFailed(message)
        case action_error.InjectedError():
            return types.InjectedError()
        case action_error.SerializeFailed(message):
            return types.SerializeFailed(message)
        case action_error.SubsagaCreateFailed(message):
            return types.SubsagaCreateFailed(message)
    assert_never(error)
