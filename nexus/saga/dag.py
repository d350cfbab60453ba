"""The DAG of a saga: its checks, who depends on whom, its serialized form. Pure. `dag_builder.py` builds one.

The serialized form is upstream's, so a log can be read by either (the graph is petgraph's serde form):

    {"saga_name": "demo",
     "graph": {"nodes": [{"Action": {"name": "demo_wait", "label": "DemoWait", "action_name": "demo.demo_wait"}},
                         {"Start": {"params": {...}}}, "End"],
               "node_holes": [], "edge_property": "directed", "edges": [[1, 0, null], [0, 2, null]]},
     "start_node": 1, "end_node": 2}

A node's index is its place in `nodes`, and is its `node_id` in the log: the order of appending, then Start, then End. A
subsaga's nodes are part of the same graph, in one piece: its start node, its own nodes, its end node.

A saga keeps the DAG it was made with, also when the code that made it has changed since.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from nexus.saga.errors import InvalidDag
from nexus.saga.ids import NodeId
from nexus.saga.nodes import (
    ActionNode,
    ConstantNode,
    EndNode,
    NamedNode,
    StartNode,
    SubsagaEndNode,
    SubsagaStartNode,
    UnknownNode,
    node_from_json,
    node_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexus.saga.nodes import Node
    from nexus.saga.payload import Payload

PATH_SEPARATOR = "/"
"""Between the names of subsagas and of a node in them."""


@dataclass(frozen=True, slots=True)
class SubsagaSpan:
    """Where a subsaga is in its DAG: its own nodes are those between its start node and its end node."""

    start: NodeId
    end: NodeId


@dataclass(frozen=True, slots=True)
class SagaDag:
    """The checked DAG of one saga, its parameters included. Made by `DagBuilder` or `SagaDag.from_json`.

    Raises InvalidDag unless: there is one Start and one End, where `start_node` and `end_node` say; no cycle; every
    node leads from Start to End; End and the end of each subsaga have exactly one predecessor; subsagas nest, are
    entered by their start and left by their end, and depend on the node that their parameters come from; names are
    unique in each of them. Of a DAG with nodes of unknown kinds no more is checked than where Start and End are.
    """

    saga_name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[NodeId, NodeId], ...]
    start_node: NodeId
    end_node: NodeId
    parents: tuple[tuple[NodeId, ...], ...] = field(init=False, repr=False, compare=False)
    children: tuple[tuple[NodeId, ...], ...] = field(init=False, repr=False, compare=False)
    subsagas: tuple[SubsagaSpan, ...] = field(init=False, repr=False, compare=False)
    """By their start nodes, so each after those that it is in."""

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
        object.__setattr__(self, "subsagas", ())
        self._check_ends()
        if not self.unknown_kinds:
            object.__setattr__(self, "subsagas", self._find_subsagas())
            self._check_paths()
            self._check_subsagas()
            self._check_names()

    @property
    def unknown_kinds(self) -> list[str]:
        return sorted({node.kind for node in self.nodes if isinstance(node, UnknownNode)})

    def subsaga_of(self, node_id: NodeId) -> SubsagaSpan | None:
        """The innermost subsaga that the node is inside of. Its start and end nodes are outside."""
        for span in reversed(self.subsagas):
            if span.start < node_id < span.end:
                return span
        return None

    def node_name(self, node_id: NodeId) -> str:
        """The name of the node's output, unique in the saga: `disk`; `volume/disk` in the subsaga `volume`.

        What has no output is called `(start node)`, also that of a subsaga, and `(end node)`.
        """
        span = self.subsaga_of(node_id)
        match self.nodes[node_id]:
            case StartNode():
                name = "(start node)"
            case EndNode():
                name = "(end node)"
            case SubsagaStartNode():
                name = "(start node)"
                span = next(each for each in self.subsagas if each.start == node_id)
            case UnknownNode(kind):
                name = f"({kind} {node_id})"
            case ActionNode() | ConstantNode() | SubsagaEndNode() as node:
                name = node.name
        return name if span is None else f"{self.node_name(span.end)}{PATH_SEPARATOR}{name}"

    def find(self, name: str) -> NodeId | None:
        """The node that `node_name` calls so."""
        return next((node_id for node_id in self._ids() if self.node_name(node_id) == name), None)

    def find_output(self, name: str, *, inside: SubsagaSpan | None) -> NodeId | None:
        """The node whose output is called so where it is produced: in that subsaga, or in none."""
        for node_id in self._ids():
            node = self.nodes[node_id]
            if isinstance(node, NamedNode) and node.name == name and self.subsaga_of(node_id) == inside:
                return node_id
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
                    "nodes": [node_to_json(node) for node in self.nodes],
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
            nodes = tuple(node_from_json(node) for node in wire.graph.nodes)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidDag(f"not a serialized DAG: {error}") from error
        if wire.graph.node_holes or wire.graph.edge_property != "directed":
            raise InvalidDag(f'DAG of saga "{wire.saga_name}": the graph has holes or is not directed')
        edges = tuple((NodeId(source), NodeId(target)) for source, target, _ in wire.graph.edges)
        return cls(wire.saga_name, nodes, edges, NodeId(wire.start_node), NodeId(wire.end_node))

    def _ids(self) -> Iterable[NodeId]:
        return map(NodeId, range(len(self.nodes)))

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

    def _find_subsagas(self) -> tuple[SubsagaSpan, ...]:
        spans: list[SubsagaSpan] = []
        open_since: list[NodeId] = []
        for node_id in self._ids():
            match self.nodes[node_id]:
                case SubsagaStartNode():
                    open_since.append(node_id)
                case SubsagaEndNode():
                    if not open_since:
                        raise self._invalid(f"node {node_id} is the end of a subsaga that has no start")
                    spans.append(SubsagaSpan(open_since.pop(), node_id))
                case _:
                    pass
        if open_since:
            raise self._invalid(f"node {open_since[-1]} is the start of a subsaga that has no end")
        return tuple(sorted(spans, key=lambda span: span.start))

    def _check_subsagas(self) -> None:
        starts = {span.start: span for span in self.subsagas}
        ends = {span.end: span for span in self.subsagas}
        for source, target in self.edges if self.subsagas else ():
            if starts.get(source, self.subsaga_of(source)) != ends.get(target, self.subsaga_of(target)):
                raise self._invalid(f"the edge from node {source} to node {target} enters or leaves a subsaga midway")
        for span in self.subsagas:
            if len(self.parents[span.end]) != 1:
                raise self._invalid(f"subsaga end {span.end} has {len(self.parents[span.end])} predecessors, not one")
            start = self.nodes[span.start]
            assert isinstance(start, SubsagaStartNode), "that is what its span was made of"
            params = self.find_output(start.params_node_name, inside=self.subsaga_of(span.start))
            if params is None or not self.is_ancestor(params, span.start):
                raise self._invalid(
                    f"subsaga start {span.start} has parameters that come from node "
                    f'"{start.params_node_name}", but it does not depend on any such node'
                )

    def _check_names(self) -> None:
        names = [
            (node.name, self.subsaga_of(node_id))
            for node_id in self._ids()
            if isinstance(node := self.nodes[node_id], NamedNode)
        ]
        if len(set(names)) < len(names):
            ((name, _), count), *_ = Counter(names).most_common(1)
            raise self._invalid(f'{count} nodes are called "{name}"')


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
