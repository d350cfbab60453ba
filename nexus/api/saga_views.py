"""Sagas as the internal API shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from nexus.api import types
from nexus.api.experimental_types import DagNode, SagaTypeView
from nexus.saga import action_error
from nexus.saga.dag import ActionNode, ConstantNode, EndNode, StartNode
from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.ids import NodeId
from nexus.saga.payload import to_json_value
from nexus.saga.status import SagaRunning

if TYPE_CHECKING:
    from nexus.saga.action_error import ActionError
    from nexus.saga.dag import Node, SagaDag
    from nexus.saga.status import SagaState, SagaStatus
    from nexus.sagas.saga_types import AnySagaType


def saga_view(status: SagaStatus) -> types.Saga:
    return types.Saga(status.saga_id, _state(status.state))


def saga_type_view(saga_type: AnySagaType, sample: SagaDag | None) -> SagaTypeView:
    return SagaTypeView(
        saga_type.name,
        msgspec.json.schema(saga_type.params),
        None if sample is None else to_json_value(sample.params),
        None if sample is None else dag_nodes(sample),
    )


def dag_nodes(dag: SagaDag) -> list[DagNode]:
    """By node id."""
    return [
        DagNode(index, dag.node_name(NodeId(index)), _label(node), _action_name(node), [*dag.parents[index]])
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
