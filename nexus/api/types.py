"""Wire types of the internal API, shared by server, clients and omdb.

Spelling and shapes are those of upstream's `nexus-lockstep.json`. Pure data: no I/O, no clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec

T = TypeVar("T")


class Duration(msgspec.Struct, frozen=True):
    """A length of time as upstream spells it."""

    secs: int
    nanos: int

    @classmethod
    def from_seconds(cls, seconds: float) -> Duration:
        secs, nanos = divmod(round(seconds * 1_000_000_000), 1_000_000_000)
        return cls(secs, nanos)

    @property
    def seconds(self) -> float:
        return self.secs + self.nanos / 1_000_000_000


class Ping(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class ErrorBody(msgspec.Struct, frozen=True):
    """Body of every response that is not a success."""

    request_id: str
    message: str
    error_code: str | None = None


class ResultsPage(msgspec.Struct, Generic[T], frozen=True):
    """One page of a listing. `next_page` is null only when the page is empty."""

    items: list[T]
    next_page: str | None


# --- sagas -----------------------------------------------------------------------------------------------------------


class ActionFailed(msgspec.Struct, frozen=True, tag_field="error", tag="action_failed"):
    source_error: Any


class DeserializeFailed(msgspec.Struct, frozen=True, tag_field="error", tag="deserialize_failed"):
    message: str


class InjectedError(msgspec.Struct, frozen=True, tag_field="error", tag="injected_error"):
    pass


class SerializeFailed(msgspec.Struct, frozen=True, tag_field="error", tag="serialize_failed"):
    message: str


class SubsagaCreateFailed(msgspec.Struct, frozen=True, tag_field="error", tag="subsaga_create_failed"):
    message: str


SagaErrorInfo: TypeAlias = ActionFailed | DeserializeFailed | InjectedError | SerializeFailed | SubsagaCreateFailed


class SagaRunning(msgspec.Struct, frozen=True, tag_field="state", tag="running"):
    """Also a saga that was created and has not started yet, and one that is unwinding."""


class SagaSucceeded(msgspec.Struct, frozen=True, tag_field="state", tag="succeeded"):
    pass


class SagaFailed(msgspec.Struct, frozen=True, tag_field="state", tag="failed"):
    error_node_name: str
    error_info: SagaErrorInfo


class SagaStuck(msgspec.Struct, frozen=True, tag_field="state", tag="stuck"):
    error_node_name: str
    error_info: SagaErrorInfo
    undo_error_node_name: str
    undo_source_error: Any


SagaState: TypeAlias = SagaRunning | SagaSucceeded | SagaFailed | SagaStuck


class Saga(msgspec.Struct, frozen=True):
    id: UUID
    state: SagaState


class DemoSaga(msgspec.Struct, frozen=True):
    saga_id: UUID
    demo_saga_id: UUID


# --- sleds ------------------------------------------------------------------------------------------------------------


class Baseboard(msgspec.Struct, frozen=True):
    serial: str
    part: str
    revision: int


class UninitializedSled(msgspec.Struct, frozen=True):
    """A sled that the rack has and the control plane does not use."""

    baseboard: Baseboard
    rack_id: UUID
    cubby: int


class SledSelector(msgspec.Struct, frozen=True):
    sled: UUID


# --- background tasks ------------------------------------------------------------------------------------------------

ActivationReason: TypeAlias = Literal["signaled", "timeout", "dependency"]


class RunningDetails(msgspec.Struct, frozen=True):
    start_time: datetime
    reason: ActivationReason
    iteration: int


class CompletedDetails(msgspec.Struct, frozen=True):
    """`details` is the task's own JSON; a member `error` that is a string means that the activation failed."""

    iteration: int
    start_time: datetime
    reason: ActivationReason
    elapsed: Duration
    details: Any


class Idle(msgspec.Struct, frozen=True, tag_field="current_status", tag="idle"):
    pass


class Running(msgspec.Struct, frozen=True, tag_field="current_status", tag="running"):
    details: RunningDetails


class NeverCompleted(msgspec.Struct, frozen=True, tag_field="last_result", tag="never_completed"):
    pass


class Completed(msgspec.Struct, frozen=True, tag_field="last_result", tag="completed"):
    details: CompletedDetails


CurrentStatus: TypeAlias = Idle | Running
LastResult: TypeAlias = NeverCompleted | Completed


class BackgroundTask(msgspec.Struct, frozen=True):
    name: str
    description: str
    period: Duration
    current: CurrentStatus
    last: LastResult


class BackgroundTasksActivate(msgspec.Struct, frozen=True):
    bgtask_names: set[str]
