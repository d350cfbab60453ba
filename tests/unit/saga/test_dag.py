"""Building a DAG, its serialized form, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from saga_shapes import Shape, shapes

from nexus.saga.action import Action, ActionContext
from nexus.saga.dag import SagaDag
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.errors import DagBuildError, InvalidDag
from nexus.saga.ids import NodeId
from nexus.saga.nodes import ActionNode, ConstantNode, EndNode, StartNode, constant
from nexus.saga.payload import Payload


async def nothing(context: ActionContext[Any]) -> None:
    pass


DEMO_WAIT = Action("demo.demo_wait", nothing, params=dict)


def node(name: str) -> ActionNode:
    return ActionNode(name, name.capitalize(), f"test.{name}")


DEMO_DAG = (
    b'{"saga_name":"demo","graph":{"nodes":['
    b'{"Action":{"name":"demo_wait","label":"DemoWait","action_name":"demo.demo_wait"}},'
    b'{"Start":{"params":{"id":"88eddf09-dda3-4d70-8d99-1d3b441c57da"}}},"End"],'
    b'"node_holes":[],"edge_property":"directed","edges":[[1,0,null],[0,2,null]]},"start_node":1,"end_node":2}'
)

DIAMOND_DAG = (
    b'{"saga_name":"diamond","graph":{"nodes":['
    b'{"Action":{"name":"a","label":"A","action_name":"test.a"}},'
    b'{"Action":{"name":"b","label":"B","action_name":"test.b"}},'
    b'{"Constant":{"name":"c","value":[1,null,"x"]}},'
    b'{"Action":{"name":"d","label":"D","action_name":"test.d"}},'
    b'{"Start":{"params":null}},"End"],'
    b'"node_holes":[],"edge_property":"directed",'
    b'"edges":[[0,1,null],[0,2,null],[1,3,null],[2,3,null],[4,0,null],[3,5,null]]},"start_node":4,"end_node":5}'
)


def diamond() -> SagaDag:
    return (
        DagBuilder("diamond")
        .append(node("a"))
        .append_parallel([node("b"), constant("c", [1, None, "x"])])
        .append(node("d"))
        .build(None)
    )


def test_demo_dag_is_upstreams() -> None:
    dag = DagBuilder("demo").append(DEMO_WAIT.node("demo_wait")).build({"id": "88eddf09-dda3-4d70-8d99-1d3b441c57da"})
    assert dag.to_json() == DEMO_DAG
    assert SagaDag.from_json(DEMO_DAG) == dag


def test_parallel_dag_is_upstreams() -> None:
    assert diamond().to_json() == DIAMOND_DAG
    assert SagaDag.from_json(DIAMOND_DAG) == diamond()


def test_form_survives_jsonb() -> None:
    """A database keeps neither the order of members nor the blanks."""
    shuffled = msgspec.json.format(msgspec.json.encode(dict(reversed(msgspec.json.decode(DIAMOND_DAG).items()))))
    assert msgspec.json.decode(SagaDag.from_json(shuffled).to_json()) == msgspec.json.decode(DIAMOND_DAG)


@settings(max_examples=200, deadline=None)
@given(shape=shapes())
def test_every_dag_comes_back(shape: Shape) -> None:
    dag = shape.dag()
    assert SagaDag.from_json(dag.to_json()) == dag
    for index in range(shape.end + 1):
        assert sorted(dag.parents[index]) == shape.parents(index)
        assert sorted(dag.children[index]) == shape.children(index)


def test_nodes_by_name_and_ancestry() -> None:
    dag = diamond()
    assert dag.find("d") == 3
    assert dag.find("nobody") is None
    assert [dag.node_name(NodeId(index)) for index in (2, 4, 5)] == ["c", "(start node)", "(end node)"]
    assert dag.is_ancestor(NodeId(0), NodeId(3))
    assert dag.is_ancestor(NodeId(4), NodeId(5))
    assert not dag.is_ancestor(NodeId(1), NodeId(2))
    assert not dag.is_ancestor(NodeId(3), NodeId(3))


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (DagBuilder("s"), "saga must end with exactly one node"),
        (DagBuilder("s").append_parallel([node("a"), node("b")]), "saga must end with exactly one node"),
        (DagBuilder("s").append_parallel([]), "attempted to append 0 nodes in parallel"),
        (DagBuilder("s").append(node("a")).append(node("a")), 'name was used multiple times in the same Dag: "a"'),
        (
            DagBuilder("s").append_parallel([node("a"), constant("a", 1)]),
            'name was used multiple times in the same Dag: "a"',
        ),
        # the first mistake is the one that is told
        (
            DagBuilder("s").append_parallel([]).append(node("a")).append(node("a")),
            "attempted to append 0 nodes in parallel",
        ),
        (DagBuilder("s").append(node("a\0b")), "a string holds a NUL character"),
        *(
            (
                DagBuilder("s").append(node(name)),
                f'the name of a node is not empty, has no "/" and does not begin with "(": "{name}"',
            )
            for name in ("", "a/b", "(end node)")
        ),
        (
            DagBuilder("s").append(7),  # type: ignore[arg-type]
            "attempted to append 7, which is no node",
        ),
        (DagBuilder("s").append(ActionNode("a", "A", "s.\ud800")), "a string holds a lone surrogate"),
    ],
)
def test_build_errors(builder: DagBuilder, reason: str) -> None:
    with pytest.raises(DagBuildError) as caught:
        builder.build(None)
    assert str(caught.value) == f'building saga "s": {reason}'


def test_an_action_is_no_node() -> None:
    with pytest.raises(DagBuildError, match=r"which is no node \(an action becomes one by its method `node`\)"):
        DagBuilder("s").append(DEMO_WAIT).build(None)  # type: ignore[arg-type]


def test_parameters_must_be_storable() -> None:
    with pytest.raises(DagBuildError, match="nan is not a JSON number"):
        DagBuilder("s").append(node("a")).build({"x": float("nan")})


def test_long_saga_name() -> None:
    with pytest.raises(DagBuildError, match="longer than 128"):
        DagBuilder("s" * 129).append(node("a")).build(None)


def test_labels_are_upstreams() -> None:
    assert DEMO_WAIT.node("x").label == "DemoWait"
    assert Action("s.a", nothing, params=dict).node("x", label="Other").label == "Other"


def wire(**changes: Any) -> bytes:
    dag = msgspec.json.decode(DIAMOND_DAG)
    for key, value in changes.items():
        (dag if key in dag else dag["graph"])[key] = value
    return msgspec.json.encode(dag)


EDGES = [[0, 1, None], [0, 2, None], [1, 3, None], [2, 3, None], [4, 0, None], [3, 5, None]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not a serialized DAG"),
        (b"[" * 5000, "not a serialized DAG"),
        (b"{}", "missing required field"),
        (wire(start_node=0), "start_node is 0, but Start is at"),
        (wire(end_node=3), "end_node is 3, but End is at"),
        (wire(node_holes=[2]), "has holes"),
        (wire(edge_property="undirected"), "not directed"),
        (wire(edges=[*EDGES, [0, 9, None]]), "edge from node 0 to node 9"),
        (wire(edges=[*EDGES, [0, -1, None]]), "edge from node 0 to node -1"),
        (wire(edges=[*EDGES, [0, 1, None]]), "an edge is there twice"),
        (wire(edges=[*EDGES, [2, 5, None]]), "End has 2 predecessors"),
        (wire(edges=[*EDGES, [3, 0, None]]), "it has a cycle"),
        (wire(edges=[edge for edge in EDGES if edge[1] != 2]), "node 2 does not follow from Start"),
        (wire(edges=[edge for edge in EDGES if edge[0] != 2]), "node 2 does not lead to End"),
        (wire(edges=[*EDGES, [0, 4, None]]), "node 4 does not follow from Start"),
        (wire(nodes=[{"Action": {}, "Constant": {}}]), "of one kind, not of 2: Action, Constant"),
        (wire(nodes=[{"Action": {"name": "a"}}]), "missing required field"),
        (DIAMOND_DAG.replace(b'"name":"b"', b'"name":"a"'), '2 nodes are called "a"'),
    ],
)  # fmt: skip
def test_what_is_no_dag(text: bytes, reason: str) -> None:
    with pytest.raises(InvalidDag, match=reason):
        SagaDag.from_json(text)


def test_two_starts() -> None:
    with pytest.raises(InvalidDag, match="Start is at"):
        SagaDag(
            "s",
            (StartNode(Payload(b"1")), StartNode(Payload(b"2")), ConstantNode("c", Payload(b"3")), EndNode()),
            ((NodeId(0), NodeId(2)), (NodeId(1), NodeId(2)), (NodeId(2), NodeId(3))),
            NodeId(0),
            NodeId(3),
        )
