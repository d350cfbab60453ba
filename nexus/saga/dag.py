"""The DAG of a saga: build one, check it, read and write its serialized form. Pure.

The serialized form is upstream's, so a log can be read by either (the graph is petgraph's serde form):

    {"saga_name": "demo",
     "graph": {"nodes": [{"Action": {"name": "demo_wait", "label": "DemoWait", "action_name": "demo.demo_wait"}},
                         {"Start": {"params": {...}}}, "End"],
               "node_holes": [], "edge_property": "directed", "edges": [[1, 0, null], [0, 2, null]]},
     "start_node": 1, "end_node": 2}

A node's index is its place in `nodes`, and is its `node_id` in the log: the order of appending, then Start, then End.
A saga keeps the DAG it was made with, also when the code that made it has changed since.

Subsagas have their own nodes in upstream's form; a DAG that holds them is refused here.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nexus.saga.errors import DagBuildError, InvalidDag, UnstorablePayload
from nexus.saga.ids import NodeId
from nexus.saga.payload import Payload, check_text, encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

MAX_SAGA_NAME = 128


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


Node: TypeAlias = StartNode | EndNode | ActionNode | ConstantNode
NamedNode: TypeAlias = ActionNode | ConstantNode


def constant(name: str, value: object) -> ConstantNode:
    """Raises UnstorablePayload."""
    return ConstantNode(name, encode(value))


@dataclass(frozen=True, slots=True)
class SagaDag:
    """The checked DAG of one saga, its parameters included. Made by `DagBuilder` or `SagaDag.from_json`.

    Raises InvalidDag unless: there is one Start and one End, where `start_node` and `end_node` say; no cycle; every
    node leads from Start to End; End has exactly one predecessor; names are unique.
    """

    saga_name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[NodeId, NodeId], ...]
    start_node: NodeId
    end_node: NodeId
    parents: tuple[tuple[NodeId, ...], ...] = field(init=False, repr=False, compare=False)
    children: tuple[tuple[NodeId, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = len(self.nodes)
        parents: list[list[NodeId]] = [[] for _ in range(size)]
        children: list[list[NodeId]] = [[] for _ in range(size)]
        for source, target in self.edges:
            if not (0 <= source < size and 0 <= target < size):
                raise self._invalid(f"edge from node {source} to node {target}, but there are {size} nodes")
            parents[target].append(source)
            children[source].append(target)
        object.__setattr__(self, "parents", tuple(map(tuple, parents)))
        object.__setattr__(self, "children", tuple(map(tuple, children)))
        self._check_ends()
        self._check_names()
        self._check_paths()

    def node_name(self, node_id: NodeId) -> str:
        """The name of the node's output; Start and End have none and are called `(start node)` and `(end node)`."""
        match self.nodes[node_id]:
            case StartNode():
                return "(start node)"
            case EndNode():
                return "(end node)"
            case ActionNode() | ConstantNode() as node:
                return node.name

    def find(self, name: str) -> NodeId | None:
        """The node whose output has that name."""
        for index, node in enumerate(self.nodes):
            if isinstance(node, NamedNode) and node.name == name:
                return NodeId(index)
        return None

    def is_ancestor(self, ancestor: NodeId, node_id: NodeId) -> bool:
        """Whether `node_id` depends on `ancestor`, directly or not. No node is its own ancestor."""
        seen: set[NodeId] = set()
        waiting = [*self.parents[node_id]]
        while waiting:
            candidate = waiting.pop()
            if candidate == ancestor:
                return True
            if candidate not in seen:
                seen.add(candidate)
                waiting += self.parents[candidate]
        return False

    @property
    def params(self) -> Payload:
        start = self.nodes[self.start_node]
        assert isinstance(start, StartNode), "checked when the DAG was made"
        return start.params

    def to_json(self) -> bytes:
        return msgspec.json.encode(
            {
                "saga_name": self.saga_name,
                "graph": {
                    "nodes": [_node_to_json(node) for node in self.nodes],
                    "node_holes": [],
                    "edge_property": "directed",
                    "edges": [(source, target, None) for source, target in self.edges],
                },
                "start_node": self.start_node,
                "end_node": self.end_node,
            }
        )

    @classmethod
    def from_json(cls, text: bytes) -> SagaDag:
        """Raises InvalidDag."""
        try:
            wire = msgspec.json.decode(text, type=_WireDag)
            nodes = tuple(_node_from_json(node) for node in wire.graph.nodes)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidDag(f"not a serialized DAG: {error}") from error
        if wire.graph.node_holes or wire.graph.edge_property != "directed":
            raise InvalidDag(f'DAG of saga "{wire.saga_name}": the graph has holes or is not directed')
        edges = tuple((NodeId(source), NodeId(target)) for source, target, _ in wire.graph.edges)
        return cls(wire.saga_name, nodes, edges, NodeId(wire.start_node), NodeId(wire.end_node))

    def _invalid(self, reason: str) -> InvalidDag:
        return InvalidDag(f'DAG of saga "{self.saga_name}": {reason}')

    def _check_ends(self) -> None:
        starts = [index for index, node in enumerate(self.nodes) if isinstance(node, StartNode)]
        ends = [index for index, node in enumerate(self.nodes) if isinstance(node, EndNode)]
        if starts != [self.start_node]:
            raise self._invalid(f"start_node is {self.start_node}, but Start is at {starts}")
        if ends != [self.end_node]:
            raise self._invalid(f"end_node is {self.end_node}, but End is at {ends}")
        if len(self.parents[self.end_node]) != 1:
            raise self._invalid(f"End has {len(self.parents[self.end_node])} predecessors, not one")

    def _check_names(self) -> None:
        names = Counter(node.name for node in self.nodes if isinstance(node, NamedNode))
        for name, count in names.items():
            if count > 1:
                raise self._invalid(f'{count} nodes are called "{name}"')

    def _check_paths(self) -> None:
        if len(set(self.edges)) != len(self.edges):
            raise self._invalid("an edge is there twice")
        for index in range(len(self.nodes)):
            if (index != self.start_node) != bool(self.parents[index]):
                raise self._invalid(f"node {index} does not follow from Start")
            if (index != self.end_node) != bool(self.children[index]):
                raise self._invalid(f"node {index} does not lead to End")
        waiting_for = [len(parents) for parents in self.parents]
        ready = deque([self.start_node])
        reached = 0
        while ready:
            reached += 1
            for child in self.children[ready.popleft()]:
                waiting_for[child] -= 1
                if not waiting_for[child]:
                    ready.append(child)
        if reached != len(self.nodes):
            raise self._invalid("it has a cycle")


class DagBuilder:
    """Builds a saga's DAG stage by stage; each stage depends on every node of the one before.

    The first mistake is kept and reported by `build`, as upstream does.
    """

    def __init__(self, saga_name: str) -> None:
        self._saga_name = saga_name
        self._nodes: list[Node] = []
        self._edges: list[tuple[NodeId, NodeId]] = []
        self._first_stage: list[NodeId] = []
        self._last_stage: list[NodeId] = []
        self._names: set[str] = set()
        self._mistake: str | None = None

    def append(self, node: NamedNode) -> Self:
        return self.append_parallel([node])

    def append_parallel(self, nodes: Iterable[NamedNode]) -> Self:
        """The nodes of one stage do not depend on each other and run at the same time."""
        if self._mistake is not None:
            return self
        stage = [*nodes]
        if not stage:
            self._mistake = "attempted to append 0 nodes in parallel"
            return self
        for node in stage:
            if node.name in self._names:
                self._mistake = f'name was used multiple times in the same Dag: "{node.name}"'
                return self
            self._names.add(node.name)
        added: list[NodeId] = []
        for node in stage:
            added.append(NodeId(len(self._nodes)))
            self._nodes.append(node)
            self._edges += [(last, added[-1]) for last in self._last_stage]
        self._first_stage = self._first_stage or added
        self._last_stage = added
        return self

    def build(self, params: object) -> SagaDag:
        """The DAG, with these parameters. Raises DagBuildError."""
        if self._mistake is None and len(self._last_stage) != 1:
            self._mistake = "saga must end with exactly one node"
        if self._mistake is not None:
            raise DagBuildError(self._saga_name, self._mistake)
        if len(self._saga_name) > MAX_SAGA_NAME:
            raise DagBuildError(self._saga_name, f"its name is longer than {MAX_SAGA_NAME} characters")
        try:
            check_text(self._saga_name)
            for node in self._nodes:
                if isinstance(node, ActionNode):
                    check_text(node.name + node.label + node.action_name)
                elif isinstance(node, ConstantNode):
                    check_text(node.name)
            start_params = encode(params)
        except UnstorablePayload as error:
            raise DagBuildError(self._saga_name, str(error)) from error
        start, end = NodeId(len(self._nodes)), NodeId(len(self._nodes) + 1)
        edges = [
            *self._edges,
            *((start, first) for first in self._first_stage),
            *((last, end) for last in self._last_stage),
        ]
        return SagaDag(self._saga_name, (*self._nodes, StartNode(start_params), EndNode()), tuple(edges), start, end)


class _WireGraph(msgspec.Struct):
    nodes: list[msgspec.Raw]
    node_holes: list[int]
    edge_property: str
    edges: list[tuple[int, int, None]]


class _WireDag(msgspec.Struct):
    saga_name: str
    graph: _WireGraph
    start_node: int
    end_node: int


class _WireStart(msgspec.Struct):
    params: msgspec.Raw


class _WireAction(msgspec.Struct):
    name: str
    label: str
    action_name: str


class _WireConstant(msgspec.Struct):
    name: str
    value: msgspec.Raw


def _node_to_json(node: Node) -> object:
    match node:
        case StartNode(params):
            return {"Start": {"params": msgspec.Raw(params)}}
        case EndNode():
            return "End"
        case ActionNode(name, label, action_name):
            return {"Action": {"name": name, "label": label, "action_name": action_name}}
        case ConstantNode(name, value):
            return {"Constant": {"name": name, "value": msgspec.Raw(value)}}


def _node_from_json(text: msgspec.Raw) -> Node:
    wire: str | dict[str, msgspec.Raw] = msgspec.json.decode(text, type=str | dict[str, msgspec.Raw])
    match wire:
        case "End":
            return EndNode()
        case {"Start": body, **rest} if not rest:
            return StartNode(Payload(bytes(msgspec.json.decode(body, type=_WireStart).params)))
        case {"Action": body, **rest} if not rest:
            action = msgspec.json.decode(body, type=_WireAction)
            return ActionNode(action.name, action.label, action.action_name)
        case {"Constant": body, **rest} if not rest:
            constant = msgspec.json.decode(body, type=_WireConstant)
            return ConstantNode(constant.name, Payload(bytes(constant.value)))
        case _:
            kind = wire if isinstance(wire, str) else ", ".join(wire)
            raise InvalidDag(f"a node of kind {kind} is not known here")
