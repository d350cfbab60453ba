"""A durable saga engine for trio programs.

    registry = ActionRegistry([CREATE_DISK, ...])
    sec = Sec(sec_id, store=InMemorySecStore(), registry=registry, log=log)
    await nursery.start(sec.run)
    await sec.create(saga_id, DagBuilder("provision").append(CREATE_DISK.node("disk")).build(params))

`docs/saga-engine.md` has the guarantees. Names are imported when they are used: the pure part is free of trio, and
only `nexus.saga.postgres` needs psycopg.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry
    from nexus.saga.action_error import (
        ActionError,
        ActionFailed,
        DeserializeFailed,
        InjectedError,
        SerializeFailed,
        SubsagaCreateFailed,
        UndoActionError,
    )
    from nexus.saga.dag import SagaDag
    from nexus.saga.dag_builder import DagBuilder, subsaga
    from nexus.saga.errors import (
        DagBuildError,
        OutcomeUnknown,
        SagaEnded,
        SagaError,
        SagaExists,
        SagaLost,
        SagaNotFound,
        SecNotRunning,
        StoreUnavailable,
        UnrecoverableSaga,
        UnrunnableSaga,
        WriteRefused,
    )
    from nexus.saga.execution import SagaExecution, SagaFailed, SagaStuck, SagaSucceeded
    from nexus.saga.executor import UndoRetries
    from nexus.saga.ids import NodeId, SagaId, SecId
    from nexus.saga.log import EventKind, NodeEvent, NodeStatus
    from nexus.saga.nodes import constant
    from nexus.saga.sec import Sec
    from nexus.saga.status import SagaRunning, SagaState, SagaStatus
    from nexus.saga.store import Claim, InMemorySecStore, InProgressSaga, SecStore, StoredState

_HOMES = {
    "action": ("Action", "ActionContext", "ActionFailure", "ActionRegistry"),
    "action_error": (
        "ActionError",
        "ActionFailed",
        "DeserializeFailed",
        "InjectedError",
        "SerializeFailed",
        "SubsagaCreateFailed",
        "UndoActionError",
    ),
    "dag": ("SagaDag",),
    "dag_builder": ("DagBuilder", "subsaga"),
    "errors": (
        "DagBuildError",
        "OutcomeUnknown",
        "SagaEnded",
        "SagaError",
        "SagaExists",
        "SagaLost",
        "SagaNotFound",
        "SecNotRunning",
        "StoreUnavailable",
        "UnrecoverableSaga",
        "UnrunnableSaga",
        "WriteRefused",
    ),
    "execution": ("SagaExecution", "SagaFailed", "SagaStuck", "SagaSucceeded"),
    "executor": ("UndoRetries",),
    "ids": ("NodeId", "SagaId", "SecId"),
    "log": ("EventKind", "NodeEvent", "NodeStatus"),
    "nodes": ("constant",),
    "sec": ("Sec",),
    "status": ("SagaRunning", "SagaState", "SagaStatus"),
    "store": ("Claim", "InMemorySecStore", "InProgressSaga", "SecStore", "StoredState"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "ActionContext",
    "ActionError",
    "ActionFailed",
    "ActionFailure",
    "ActionRegistry",
    "Claim",
    "DagBuildError",
    "DagBuilder",
    "DeserializeFailed",
    "EventKind",
    "InMemorySecStore",
    "InProgressSaga",
    "InjectedError",
    "NodeEvent",
    "NodeId",
    "NodeStatus",
    "OutcomeUnknown",
    "SagaDag",
    "SagaEnded",
    "SagaError",
    "SagaExecution",
    "SagaExists",
    "SagaFailed",
    "SagaId",
    "SagaLost",
    "SagaNotFound",
    "SagaRunning",
    "SagaState",
    "SagaStatus",
    "SagaStuck",
    "SagaSucceeded",
    "Sec",
    "SecId",
    "SecNotRunning",
    "SecStore",
    "SerializeFailed",
    "StoreUnavailable",
    "StoredState",
    "SubsagaCreateFailed",
    "UndoActionError",
    "UndoRetries",
    "UnrecoverableSaga",
    "UnrunnableSaga",
    "WriteRefused",
    "constant",
    "subsaga",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
