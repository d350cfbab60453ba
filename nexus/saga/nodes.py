"""The kinds of nodes that a saga's DAG has, and their serialized forms, which are upstream's. Pure.

    {"Start": {"params": {...}}}   "End"
    {"Action": {"name": "disk", "label": "CreateDisk", "action_name": "provision.create_disk"}}
    {"Constant": {"name": "size", "value": 8}}
    {"SubsagaStart": {"saga_name": "volume", "params_node_name": "size"}}   {"SubsagaEnd": {"name": "volume"}}

A kind that is not known here was written by a later release: it is kept as it is, so that the saga can be shown, and
can wait for a process that knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

import msgspec

from nexus.saga.errors import InvalidDag
from nexus.saga.payload import Payload, encode


@dataclass(frozen=True, slots=True)
class StartNode:
    params: Payload


@dataclass(frozen=True, slots=True)
class EndNode:
    pass


@dataclass(frozen=True, slots=True)
class ActionNode:
    """Calls an action. `name` is that of its output, `label` is for people."""

    name: str
    label: str
    action_name: str


@dataclass(frozen=True, slots=True)
class ConstantNode:
    """Its output was known when the saga was made."""

    name: str
    value: Payload


@dataclass(frozen=True, slots=True)
class SubsagaStartNode:
    """The first of a subsaga's nodes. The output of `params_node_name`, outside, is the subsaga's parameters."""

    saga_name: str
    params_node_name: str


@dataclass(frozen=True, slots=True)
class SubsagaEndNode:
    """The last of a subsaga's nodes. Outside it stands for all of them: its output is that of the one before it."""

    name: str


@dataclass(frozen=True, slots=True)
class UnknownNode:
    """Of a kind that this process does not know. `form` is the node's JSON."""

    kind: str
    form: bytes


Node: TypeAlias = StartNode | EndNode | ActionNode | ConstantNode | SubsagaStartNode | SubsagaEndNode | UnknownNode
NamedNode: TypeAlias = ActionNode | ConstantNode | SubsagaEndNode
"""Those whose output can be looked up."""


def constant(name: str, value: object) -> ConstantNode:
    """Raises UnstorablePayload."""
    return ConstantNode(name, encode(value))


def node_to_json(node: Node) -> object:
    """For `msgspec.json.encode`."""
    match node:
        case StartNode(params):
            return {"Start": {"params": msgspec.Raw(params)}}
        case EndNode():
            return "End"
        case ActionNode(name, label, action_name):
            return {"Action": {"name": name, "label": label, "action_name": action_name}}
        case ConstantNode(name, value):
            return {"Constant": {"name": name, "value": msgspec.Raw(value)}}
        case SubsagaStartNode(saga_name, params_node_name):
            return {"SubsagaStart": {"saga_name": saga_name, "params_node_name": params_node_name}}
        case SubsagaEndNode(name):
            return {"SubsagaEnd": {"name": name}}
        case UnknownNode(_, form):
            return msgspec.Raw(form)
    assert_never(node)


def node_from_json(text: msgspec.Raw) -> Node:
    """Raises InvalidDag, or what msgspec does."""
    wire: str | dict[str, msgspec.Raw] = msgspec.json.decode(text, type=str | dict[str, msgspec.Raw])
    if wire == "End":
        return EndNode()
    if isinstance(wire, str):
        return UnknownNode(wire, bytes(text))
    if len(wire) != 1:
        raise InvalidDag(f"a node is of one kind, not of {len(wire)}: {', '.join(wire)}")
    ((kind, body),) = wire.items()
    match kind:
        case "Start":
            return StartNode(Payload(bytes(msgspec.json.decode(body, type=_WireStart).params)))
        case "Action":
            action = msgspec.json.decode(body, type=_WireAction)
            return ActionNode(action.name, action.label, action.action_name)
        case "Constant":
            constant = msgspec.json.decode(body, type=_WireConstant)
            return ConstantNode(constant.name, Payload(bytes(constant.value)))
        case "SubsagaStart":
            start = msgspec.json.decode(body, type=_WireSubsagaStart)
            return SubsagaStartNode(start.saga_name, start.params_node_name)
        case "SubsagaEnd":
            return SubsagaEndNode(msgspec.json.decode(body, type=_WireSubsagaEnd).name)
        case _:
            return UnknownNode(kind, bytes(text))


class _WireStart(msgspec.Struct):
    params: msgspec.Raw


class _WireAction(msgspec.Struct):
    name: str
    label: str
    action_name: str


class _WireConstant(msgspec.Struct):
    name: str
    value: msgspec.Raw


class _WireSubsagaStart(msgspec.Struct):
    saga_name: str
    params_node_name: str


class _WireSubsagaEnd(msgspec.Struct):
    name: str
