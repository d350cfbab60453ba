"""Builds the DAG of a saga, stage by stage. Pure.

    volume = DagBuilder("volume").append(CREATE_DISK.node("disk")).append(FORMAT.node("file_system"))
    dag = (
        DagBuilder("provision")
        .append(constant("volume_params", VolumeParams(size_gib=8)))
        .append_parallel([subsaga("volume", volume, params="volume_params"), CREATE_ADDRESS.node("address")])
        .append(BOOT.node("server"))
        .build(params)
    )

A subsaga is one node of the saga that it is appended to. Inside it, only its own nodes are seen, and the parameters are
the output of an earlier node outside; outside, all that is seen of it is the output of its last node, by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nexus.saga.dag import PATH_SEPARATOR, SagaDag
from nexus.saga.errors import DagBuildError, UnstorablePayload
from nexus.saga.ids import NodeId
from nexus.saga.nodes import ActionNode, ConstantNode, EndNode, StartNode, SubsagaEndNode, SubsagaStartNode
from nexus.saga.payload import check_text, encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from nexus.saga.nodes import Node

MAX_SAGA_NAME = 128


@dataclass(frozen=True, slots=True)
class Subsaga:
    """A saga to be appended to another, as one node with a name space of its own. Made by `subsaga`."""

    name: str
    builder: DagBuilder
    params_node_name: str


def subsaga(name: str, builder: DagBuilder, *, params: str) -> Subsaga:
    """What `builder` has built up to now; its parameters are the output of the node `params`, which comes earlier."""
    return Subsaga(name, builder, params)


Appendable: TypeAlias = ActionNode | ConstantNode | Subsaga


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
        self._mistake: DagBuildError | None = None

    def append(self, node: Appendable) -> Self:
        return self.append_parallel([node])

    def append_parallel(self, nodes: Iterable[Appendable]) -> Self:
        """The nodes of one stage do not depend on each other and run at the same time."""
        if self._mistake is None:
            try:
                self._append_stage([*nodes])
            except DagBuildError as mistake:
                self._mistake = mistake
        return self

    def build(self, params: object) -> SagaDag:
        """The DAG, with these parameters. Raises DagBuildError."""
        self._check_buildable()
        try:
            start_params = encode(params)
        except UnstorablePayload as error:
            raise self._wrong(str(error)) from error
        start, end = NodeId(len(self._nodes)), NodeId(len(self._nodes) + 1)
        edges = [
            *self._edges,
            *((start, first) for first in self._first_stage),
            *((last, end) for last in self._last_stage),
        ]
        return SagaDag(self._saga_name, (*self._nodes, StartNode(start_params), EndNode()), tuple(edges), start, end)

    def _append_stage(self, stage: list[Appendable]) -> None:
        if not stage:
            raise self._wrong("attempted to append 0 nodes in parallel")
        earlier = frozenset(self._names)
        for node in stage:
            if not isinstance(node, ActionNode | ConstantNode | Subsaga):
                hint = " (an action becomes one by its method `node`)" if hasattr(node, "node") else ""
                raise self._wrong(f"attempted to append {node!r:.100}, which is no node{hint}")
            if node.name in self._names:
                raise self._wrong(f'name was used multiple times in the same Dag: "{node.name}"')
            self._names.add(node.name)
            self._check_node(node, earlier=earlier)
        firsts: list[NodeId] = []
        lasts: list[NodeId] = []
        for node in stage:
            first, last = self._add_subsaga(node) if isinstance(node, Subsaga) else self._add(node)
            firsts.append(first)
            lasts.append(last)
        self._edges += [(last, first) for first in firsts for last in self._last_stage]
        self._first_stage = self._first_stage or firsts
        self._last_stage = lasts

    def _add(self, node: Node) -> tuple[NodeId, NodeId]:
        """The ids of the first and the last of what was added."""
        self._nodes.append(node)
        added = NodeId(len(self._nodes) - 1)
        return added, added

    def _add_subsaga(self, node: Subsaga) -> tuple[NodeId, NodeId]:
        inner = node.builder
        start, _ = self._add(SubsagaStartNode(inner._saga_name, node.params_node_name))

        def moved(inner_id: NodeId) -> NodeId:
            return NodeId(start + 1 + inner_id)

        self._nodes += inner._nodes
        self._edges += [(moved(source), moved(target)) for source, target in inner._edges]
        _, end = self._add(SubsagaEndNode(node.name))
        self._edges += [(start, moved(first)) for first in inner._first_stage]
        self._edges += [(moved(last), end) for last in inner._last_stage]
        return start, end

    def _check_node(self, node: Appendable, *, earlier: frozenset[str]) -> None:
        if not node.name or PATH_SEPARATOR in node.name or node.name.startswith("("):
            raise self._wrong(f'the name of a node is not empty, has no "/" and does not begin with "(": "{node.name}"')
        texts = [node.name]
        match node:
            case ActionNode(_, label, action_name):
                texts += [label, action_name]
            case Subsaga(name, builder, params_node_name):
                builder._check_buildable()
                if params_node_name not in earlier:
                    raise self._wrong(
                        f'subsaga node "{name}" has parameters that come from node "{params_node_name}", '
                        "but it does not depend on any such node"
                    )
            case ConstantNode():
                pass
        self._check_texts(*texts)

    def _check_buildable(self) -> None:
        if self._mistake is not None:
            raise self._mistake
        if len(self._last_stage) != 1:
            raise self._wrong("saga must end with exactly one node")
        if len(self._saga_name) > MAX_SAGA_NAME:
            raise self._wrong(f"its name is longer than {MAX_SAGA_NAME} characters")
        self._check_texts(self._saga_name)

    def _check_texts(self, *texts: str) -> None:
        for text in texts:
            try:
                check_text(text)
            except UnstorablePayload as error:
                raise self._wrong(str(error)) from error

    def _wrong(self, reason: str) -> DagBuildError:
        return DagBuildError(self._saga_name, reason)
