"""Reading stored DAGs: names and subsagas of their nodes."""

from __future__ import annotations

import json

import pytest
from stored_sagas import action, dag

from omdb.render.stored_sagas import StoredNode, stored_nodes


def subsaga(name: str) -> object:
    return {"SubsagaStart": {"saga_name": name, "params_node_name": "params"}}


def subsaga_end(name: str) -> object:
    return {"SubsagaEnd": {"name": name}}


def test_nested_subsagas_are_numbered_as_they_begin() -> None:
    nodes = stored_nodes(
        dag(
            "outer",
            action("a"),
            subsaga("one"),
            action("b"),
            subsaga("inner"),
            action("c"),
            subsaga_end("d"),
            action("e"),
            subsaga_end("f"),
            subsaga("two"),
            {"Constant": {"name": "g", "value": 1}},
            subsaga_end("h"),
            action("i"),
        )
    )
    assert [node.subsaga for node in nodes] == [None, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2, None, None, None]
    assert nodes[3] == StoredNode("subsaga start inner (params)", None, 1)
    assert nodes[5] == StoredNode("subsaga end d", "d", 1)
    assert nodes[9] == StoredNode("g", "g", 2)
    assert [node.label for node in nodes[-2:]] == ["start", "end"]


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '{"graph": []}', '{"graph": {"nodes": 3}}', "[" * 100_000])
def test_what_is_no_dag_has_no_nodes(text: str) -> None:
    assert stored_nodes(text) == []


@pytest.mark.parametrize("node", [3, None, "Begin", {}, {"Action": {"name": 3}}, {"SubsagaEnd": []}])
def test_a_node_of_another_kind_is_shown_as_it_is(node: object) -> None:
    (shown,) = stored_nodes(json.dumps({"graph": {"nodes": [node]}}))
    assert shown == StoredNode(json.dumps(node))
