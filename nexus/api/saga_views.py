"""Sagas as the internal API shows them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, assert_never

import msgspec

from nexus.api import types
from nexus.api.experimental_types import (
    CrashInjection,
    DagNode,
    FailInjection,
    InjectionView,
    RepeatInjection,
    SagaClaim,
    SagaDetails,
    SagaNode,
    SagaTypeView,
    WaitingSaga,
)
from nexus.saga import action_error
from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.ids import NodeId
from nexus.saga.injection import CrashAt, Fail, Repeat
from nexus.saga.log import EventKind, NodeStatus
from nexus.saga.nodes import (
    ActionNode,
    ConstantNode,
    EndNode,
    NamedNode,
    StartNode,
    SubsagaEndNode,
    SubsagaStartNode,
    UnknownNode,
)
from nexus.saga.payload import to_json_value
from nexus.saga.status import SagaRunning

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from nexus.api import experimental_types
    from nexus.db.saga_reads import ClaimRecord
    from nexus.saga import status
    from nexus.saga.action_error import ActionError
    from nexus.saga.dag import SagaDag
    from nexus.saga.ids import SecId
    from nexus.saga.injection import Injection
    from nexus.saga.nodes import Node
    from nexus.saga.status import SagaState, SagaStatus
    from nexus.sagas.saga_types import AnySagaType


def saga_view(status: SagaStatus) -> types.Saga:
    return types.Saga(status.saga_id, _state(status.state))


def waiting_saga_views(statuses: Iterable[SagaStatus]) -> list[WaitingSaga]:
    return [
        WaitingSaga(status.saga_id, status.state.waiting_for)
        for status in statuses
        if isinstance(status.state, SagaRunning) and status.state.waiting_for is not None
    ]


def saga_type_view(saga_type: AnySagaType, sample: SagaDag | None) -> SagaTypeView:
    return SagaTypeView(
        saga_type.name,
        msgspec.json.schema(saga_type.params),
        None if sample is None else to_json_value(sample.params),
        None if sample is None else dag_nodes(sample),
    )


def saga_details_view(
    details: status.SagaDetails, *, sec_id: SecId, held: Collection[str], history: Iterable[ClaimRecord] | None
) -> SagaDetails:
    """`held` are the nodes whose actions wait to be released."""
    state = details.status.state
    running = state if isinstance(state, SagaRunning) else None
    return SagaDetails(
        id=details.status.saga_id,
        name=details.status.saga_name,
        state=_state(state),
        unwinding=running is not None and running.unwinding,
        waiting_for=None if running is None else running.waiting_for,
        sec_id=sec_id,
        claim=details.status.claim,
        params=to_json_value(details.dag.params),
        nodes=[_saga_node(details, node, held=held) for node in dag_nodes(details.dag)],
        injections=[InjectionView(_injection_view(each.injection), each.fired) for each in details.injections],
        history=None if history is None else [_claim(each) for each in history],
    )


def _claim(record: ClaimRecord) -> SagaClaim:
    return SagaClaim(record.claim, record.sec_id, record.adopt_generation, record.time, record.reason)


def injection(view: experimental_types.Injection) -> Injection:
    match view:
        case FailInjection(node_name, call):
            return Fail(node_name, call)
        case RepeatInjection(node_name, call, times):
            return Repeat(node_name, call, times)
        case CrashInjection(node_name, event, when):
            return CrashAt(node_name, EventKind(event), when)
    assert_never(view)


def _injection_view(injection: Injection) -> experimental_types.Injection:
    match injection:
        case Fail(node_name, call):
            return FailInjection(node_name, call)
        case Repeat(node_name, call, times):
            return RepeatInjection(node_name, call, times)
        case CrashAt(node_name, event, when):
            return CrashInjection(node_name, event.value, when)
    assert_never(injection)


def _saga_node(details: status.SagaDetails, node: DagNode, *, held: Collection[str]) -> SagaNode:
    known = details.nodes[node.node_id]
    state = details.status.state
    waits = known.status is NodeStatus.NEVER_STARTED and isinstance(state, SagaRunning) and not state.unwinding
    return SagaNode(
        **msgspec.structs.asdict(node),
        status=known.status,
        since=None if known.since is None else datetime.fromtimestamp(known.since, UTC),
        waiting_on=[
            details.nodes[parent].name
            for parent in node.parents
            if waits and details.nodes[parent].status is not NodeStatus.SUCCEEDED
        ],
        held=node.name in held,
        repeated_actions=known.repeated_actions,
        repeated_undos=known.repeated_undos,
    )


def dag_nodes(dag: SagaDag) -> list[DagNode]:
    """By node id."""
    return [
        DagNode(
            index,
            dag.node_name(NodeId(index)),
            isinstance(node, NamedNode),
            _label(node),
            _action_name(node),
            [*dag.parents[index]],
        )
        for index, node in enumerate(dag.nodes)
    ]


def _label(node: Node) -> str:
    """As upstream's status prints it."""
    match node:
        case StartNode():
            return "(start node)"
        case EndNode():
            return "(end node)"
        case ConstantNode(_, value):
            return f"(constant = {value.decode()})"
        case SubsagaStartNode(saga_name, params_node_name):
            return f'(subsaga start: "{saga_name}", with parameters from "{params_node_name}")'
        case SubsagaEndNode():
            return "(subsaga end)"
        case UnknownNode(kind):
            return f"({kind}, a kind of node that is not known here)"
        case ActionNode(_, label, _):
            return label
    assert_never(node)


def _action_name(node: Node) -> str | None:
    return node.action_name if isinstance(node, ActionNode) else None


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
