"""Sagas as the internal API shows them."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest

from nexus.api.saga_views import saga_view
from nexus.saga import (
    ActionFailed,
    DeserializeFailed,
    InjectedError,
    SagaFailed,
    SagaId,
    SagaRunning,
    SagaState,
    SagaStatus,
    SagaStuck,
    SagaSucceeded,
    SerializeFailed,
    SubsagaCreateFailed,
    UndoActionError,
)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (SagaRunning(), {"state": "running"}),
        (SagaRunning(unwinding=True), {"state": "running"}),
        (SagaRunning(waiting_for="an action"), {"state": "running"}),
        (SagaSucceeded(), {"state": "succeeded"}),
        (
            SagaFailed("n", ActionFailed({"message": "no"})),
            {
                "state": "failed",
                "error_node_name": "n",
                "error_info": {"error": "action_failed", "source_error": {"message": "no"}},
            },
        ),
        (
            SagaStuck("n", InjectedError(), "m", UndoActionError([1])),
            {
                "state": "stuck",
                "error_node_name": "n",
                "error_info": {"error": "injected_error"},
                "undo_error_node_name": "m",
                "undo_source_error": [1],
            },
        ),
        *(
            (
                SagaFailed("n", error),
                {"state": "failed", "error_node_name": "n", "error_info": {"error": kind, "message": "why"}},
            )
            for error, kind in (
                (DeserializeFailed("why"), "deserialize_failed"),
                (SerializeFailed("why"), "serialize_failed"),
                (SubsagaCreateFailed("why"), "subsaga_create_failed"),
            )
        ),
    ],
)
def test_states(state: SagaState, shown: dict[str, object]) -> None:
    saga_id = SagaId(UUID(int=1))
    view = saga_view(SagaStatus(saga_id, "name", 1, state))
    assert msgspec.to_builtins(view) == {"id": str(saga_id), "state": shown}
