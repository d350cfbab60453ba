"""What a SEC tells about a saga that it holds in memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.saga.dag import SagaDag
    from nexus.saga.ids import SagaId
    from nexus.saga.injection import InjectionState
    from nexus.saga.log import NodeStatus


@dataclass(frozen=True, slots=True)
class SagaRunning:
    """Not at its end, as far as the store knows: an end is shown when it is durable.

    `waiting_for` says why the saga does not go on here (an action that is not registered, parameters that do not
    decode, a write that the store refused); it needs a process that can run it.
    """

    unwinding: bool = False
    waiting_for: str | None = None


SagaState: TypeAlias = SagaRunning | SagaSucceeded | SagaFailed | SagaStuck


@dataclass(frozen=True, slots=True)
class SagaStatus:
    saga_id: SagaId
    saga_name: str
    claim: int
    """The number of the claim under which this SEC runs it."""

    state: SagaState


@dataclass(frozen=True, slots=True)
class PendingSaga:
    """A saga that is being created, runs or waits: there is more to come of it here."""

    saga_id: SagaId
    saga_name: str
    since: datetime
    """When this process began with it."""

    recovered: bool


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """One node, as this process knows it. The list of nodes is by node id."""

    name: str
    status: NodeStatus
    since: float | None
    """When it got that status, in seconds since the epoch; None if an earlier process saw that."""

    repeated_actions: int
    """Calls of the action after which there was another: their process died, or an injection asked for it."""

    repeated_undos: int
    """The same for its undo action, also after a transient error."""


@dataclass(frozen=True, slots=True)
class SagaDetails:
    status: SagaStatus
    dag: SagaDag
    nodes: tuple[NodeDetails, ...]
    injections: tuple[InjectionState, ...]
