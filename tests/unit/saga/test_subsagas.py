"""Subsagas: how they are built and serialized, what their nodes see, and how they are run and undone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
import trio.testing
from saga_lab import SAGA_ID, SEC_ID, KeptLog

from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry
from nexus.saga.dag import SagaDag, SubsagaSpan
from nexus.saga.dag_builder import DagBuilder, subsaga
from nexus.saga.errors import DagBuildError, InvalidDag, OutputNotFound, UnrunnableSaga
from nexus.saga.execution import SagaExecution, SagaFailed, SagaSucceeded
from nexus.saga.ids import NodeId
from nexus.saga.injection import CrashAt, Fail, Injections, Repeat
from nexus.saga.log import EventKind, NodeEvent
from nexus.saga.nodes import ActionNode, constant
from nexus.saga.payload import Payload
from nexus.saga.sec import Sec
from nexus.saga.status import SagaRunning
from nexus.saga.store import InMemorySecStore, StoredState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.saga.status import SagaState


def node(name: str) -> ActionNode:
    return ActionNode(name, name.capitalize(), f"test.{name}")


def volume() -> DagBuilder:
    return DagBuilder("volume").append_parallel([node("disk"), node("key")]).append(node("file_system"))


def provision() -> SagaDag:
    """Size, then a volume beside an address, then a server."""
    return (
        DagBuilder("provision")
        .append(constant("size", 8))
        .append_parallel([subsaga("volume", volume(), params="size"), node("address")])
        .append(node("server"))
        .build(None)
    )


PROVISION_DAG = (
    b'{"saga_name":"provision","graph":{"nodes":['
    b'{"Constant":{"name":"size","value":8}},'
    b'{"SubsagaStart":{"saga_name":"volume","params_node_name":"size"}},'
    b'{"Action":{"name":"disk","label":"Disk","action_name":"test.disk"}},'
    b'{"Action":{"name":"key","label":"Key","action_name":"test.key"}},'
    b'{"Action":{"name":"file_system","label":"File_system","action_name":"test.file_system"}},'
    b'{"SubsagaEnd":{"name":"volume"}},'
    b'{"Action":{"name":"address","label":"Address","action_name":"test.address"}},'
    b'{"Action":{"name":"server","label":"Server","action_name":"test.server"}},'
    b'{"Start":{"params":null}},"End"],'
    b'"node_holes":[],"edge_property":"directed",'
    b'"edges":[[2,4,null],[3,4,null],[1,2,null],[1,3,null],[4,5,null],[0,1,null],[0,6,null],[5,7,null],[6,7,null],'
    b'[8,0,null],[7,9,null]]},"start_node":8,"end_node":9}'
)


CONSTANT = {"Constant": {"name": "disk", "value": 1}}


class TestBuilding:
    def test_form_is_upstreams(self) -> None:
        assert provision().to_json() == PROVISION_DAG
        assert SagaDag.from_json(PROVISION_DAG) == provision()

    def test_names_are_unique_in_the_saga(self) -> None:
        dag = provision()
        assert dag.subsagas == (SubsagaSpan(NodeId(1), NodeId(5)),)
        names = [dag.node_name(NodeId(index)) for index in range(10)]
        assert names == [
            "size",
            "volume/(start node)",
            "volume/disk",
            "volume/key",
            "volume/file_system",
            "volume",
            "address",
            "server",
            "(start node)",
            "(end node)",
        ]
        assert [dag.find(name) for name in names] == [*range(10)]
        assert dag.find("disk") is None

    def test_one_dag_twice_and_one_in_another(self) -> None:
        inner = DagBuilder("inner").append(node("a"))
        middle = DagBuilder("middle").append(node("a")).append(subsaga("b", inner, params="a"))
        dag = (
            DagBuilder("outer")
            .append(node("a"))
            .append_parallel([subsaga("x", middle, params="a"), subsaga("y", middle, params="a")])
            .append(node("b"))
            .build(None)
        )
        assert SagaDag.from_json(dag.to_json()) == dag
        actions = [dag.node_name(NodeId(index)) for index, each in enumerate(dag.nodes) if isinstance(each, ActionNode)]
        assert actions == ["a", "x/a", "x/b/a", "y/a", "y/b/a", "b"]
        assert dag.find_output("b", inside=dag.subsagas[0]) == dag.find("x/b")

    @pytest.mark.parametrize(
        ("builder", "reason"),
        [
            (
                DagBuilder("s").append(node("a")).append(subsaga("v", volume(), params="b")),
                'building saga "s": subsaga node "v" has parameters that come from node "b", '
                "but it does not depend on any such node",
            ),
            (
                DagBuilder("s").append_parallel([node("a"), subsaga("v", volume(), params="a")]),
                'building saga "s": subsaga node "v" has parameters that come from node "a", '
                "but it does not depend on any such node",
            ),
            (
                DagBuilder("s").append(node("a")).append(subsaga("a", volume(), params="a")),
                'building saga "s": name was used multiple times in the same Dag: "a"',
            ),
            (
                DagBuilder("s").append(node("a")).append(subsaga("v", DagBuilder("v"), params="a")),
                'building saga "v": saga must end with exactly one node',
            ),
            (
                DagBuilder("s").append(node("a")).append(subsaga("v", DagBuilder("v").append_parallel([]), params="a")),
                'building saga "v": attempted to append 0 nodes in parallel',
            ),
        ],
    )
    def test_build_errors(self, builder: DagBuilder, reason: str) -> None:
        with pytest.raises(DagBuildError) as caught:
            builder.append(node("z")).build(None)
        assert str(caught.value) == reason

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"nodes": {1: CONSTANT}}, "node 5 is the end of a subsaga that has no start"),
            ({"nodes": {5: CONSTANT}}, "node 1 is the start of a subsaga that has no end"),
            ({"nodes": {4: CONSTANT}}, '2 nodes are called "disk"'),
            (
                {"nodes": {1: {"SubsagaStart": {"saga_name": "v", "params_node_name": "address"}}}},
                'parameters that come from node "address", but it does not depend on any such node',
            ),
            ({"edges": [[0, 2, None]]}, "the edge from node 0 to node 2 enters or leaves a subsaga midway"),
            ({"edges": [[4, 7, None]]}, "the edge from node 4 to node 7 enters or leaves a subsaga midway"),
            ({"edges": [[3, 5, None]]}, "subsaga end 5 has 2 predecessors"),
        ],
    )  # fmt: skip
    def test_what_is_no_dag(self, change: dict[str, Any], reason: str) -> None:
        wire = msgspec.json.decode(PROVISION_DAG)
        for index, changed in change.get("nodes", {}).items():
            wire["graph"]["nodes"][index] = changed
        wire["graph"]["edges"] += change.get("edges", [])
        with pytest.raises(InvalidDag, match=reason):
            SagaDag.from_json(msgspec.json.encode(wire))


def test_each_node_sees_its_own_saga_only() -> None:
    done = [
        NodeEvent(SAGA_ID, NodeId(index), kind, Payload(str(index).encode()) if kind is EventKind.SUCCEEDED else None)
        for index in (8, 0, 1, 2, 3, 4, 6)
        for kind in (EventKind.STARTED, EventKind.SUCCEEDED)
    ]
    execution = SagaExecution(SAGA_ID, provision(), done)
    assert execution.output("disk", seen_from=NodeId(4)) == b"2"
    assert execution.output("file_system", seen_from=NodeId(4)) == b"4"
    assert execution.output("volume/file_system", seen_from=NodeId(4)) == b"4"
    assert execution.params(NodeId(4)) == b"0"
    assert execution.params(NodeId(7)) == b"null"
    for name, seen_from in (("size", 4), ("key", 2), ("address", 4), ("disk", 7), ("volume/disk", 7), ("volume", 4)):
        with pytest.raises(OutputNotFound, match=f'does not depend on a node "{name}"'):
            execution.output(name, seen_from=NodeId(seen_from))
    (passing,) = [command for command in execution.next_commands() if command.node_id == 5]  # type: ignore[union-attr]
    for event in passing.events:  # type: ignore[union-attr]
        execution.record(event)
    assert execution.output("volume", seen_from=NodeId(7)) == b"4"


class Lab:
    """A process that runs `provision`; each action returns its node's name and what it sees of its parameters."""

    def __init__(self, store: InMemorySecStore, *, params: type = int, failing: str | None = None) -> None:
        self.calls: list[str] = []
        self.failing = failing
        self.crashed = trio.Event()
        inside = "disk", "key", "file_system"
        actions = [
            Action(f"test.{name}", self._act, undo=self._undo, params=params if name in inside else type(None))
            for name in (*inside, "address", "server")
        ]
        registry = ActionRegistry(actions)
        self.sec = Sec(SEC_ID, store=store, registry=registry, log=KeptLog(), crash=self.crashed.set)

    async def _act(self, context: ActionContext[Any]) -> str:
        self.calls.append(f"act {context.node_name}")
        if context.node_name == self.failing:
            raise ActionFailure("as asked")
        if context.node_name == "server":
            return context.lookup("volume", str)
        return f"{context.node_name} of {context.params}"

    async def _undo(self, context: ActionContext[Any]) -> None:
        self.calls.append(f"undo {context.node_name}, {context.lookup(context.node_name, str)}")

    async def run(self, *injections: Fail | Repeat | CrashAt, dag: SagaDag | None = None) -> SagaState:
        await self.sec.create(SAGA_ID, dag or provision(), injections=injections)
        return (await self.sec.wait_ended(SAGA_ID)).state


@asynccontextmanager
async def lab(store: InMemorySecStore | None = None, **options: Any) -> AsyncIterator[Lab]:
    async with trio.open_nursery() as nursery:
        one = Lab(store or InMemorySecStore(), **options)
        await nursery.start(one.sec.run)
        yield one
        nursery.cancel_scope.cancel()


async def test_a_subsaga_is_run_with_its_parameters(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    async with lab(store) as one:
        assert await one.run() == SagaSucceeded()
        assert sorted(one.calls[:3]) == ["act address", "act volume/disk", "act volume/key"]
        assert one.calls[3:] == ["act volume/file_system", "act server"]
    outputs = {event.node_id: event.data for _, event in store.rows[SAGA_ID].events if event.data is not None}
    assert outputs[NodeId(1)] == b"null"
    assert outputs[NodeId(5)] == outputs[NodeId(7)] == b'"volume/file_system of 8"'


async def test_a_subsaga_is_undone_node_by_node(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    async with lab(store, failing="server") as one:
        assert isinstance(await one.run(), SagaFailed)
        undone = one.calls[5:]
        assert sorted(undone) == [
            "undo address, address of None",
            "undo volume/disk, volume/disk of 8",
            "undo volume/file_system, volume/file_system of 8",
            "undo volume/key, volume/key of 8",
        ]
        first = undone.index("undo volume/file_system, volume/file_system of 8")
        assert first < undone.index("undo volume/disk, volume/disk of 8")
        assert first < undone.index("undo volume/key, volume/key of 8")
    assert store.rows[SAGA_ID].state is StoredState.DONE


async def test_a_failure_inside_is_the_sagas(autojump_clock: trio.testing.MockClock) -> None:
    async with lab(failing="volume/key") as one:
        state = await one.run()
        assert isinstance(state, SagaFailed)
        assert state.error_node_name == "volume/key"


async def test_injections_name_the_nodes_inside(autojump_clock: trio.testing.MockClock) -> None:
    async with lab() as one:
        state = await one.run(Repeat("volume/disk", "action", 3), Fail("volume/file_system", "action"))
        assert isinstance(state, SagaFailed)
        assert state.error_node_name == "volume/file_system"
        assert one.calls.count("act volume/disk") == 3
    execution = SagaExecution(SAGA_ID, provision())
    Injections().add(CrashAt("volume/(start node)", EventKind.SUCCEEDED, "after"), execution)
    Injections().add(CrashAt("volume", EventKind.STARTED, "before"), execution)


async def test_crashed_in_a_subsaga_and_recovered(autojump_clock: trio.testing.MockClock) -> None:
    for name in ("volume/(start node)", "volume/disk", "volume/file_system", "volume"):
        store = InMemorySecStore()
        async with lab(store) as one:
            await one.sec.create(SAGA_ID, provision(), injections=[CrashAt(name, EventKind.SUCCEEDED, "before")])
            await one.crashed.wait()
        async with lab(store) as other:
            await other.sec.recover(SAGA_ID)
            assert (await other.sec.wait_ended(SAGA_ID)).state == SagaSucceeded(), name
            assert "act server" in other.calls


async def test_g5_parameters_that_do_not_decode_halt_the_saga(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    reasons = [
        f'parameters of node "volume/{name}" do not decode as test.{name} wants them: Expected `str`, got `int`'
        for name in ("disk", "key")  # whichever is called first
    ]
    async with lab(store, params=str) as one:
        state = await one.run()
        assert isinstance(state, SagaRunning)
        assert state.waiting_for in reasons
        assert not any("volume" in call for call in one.calls)
    assert store.rows[SAGA_ID].state is StoredState.RUNNING
    async with lab(store) as other:  # a process that has the code resumes it
        await other.sec.recover(SAGA_ID)
        assert (await other.sec.wait_ended(SAGA_ID)).state == SagaSucceeded()


async def test_g5_a_node_of_an_unknown_kind_waits(autojump_clock: trio.testing.MockClock) -> None:
    """A saga of a later release, recovered by this one."""
    text = PROVISION_DAG.replace(b'{"Constant":{"name":"size","value":8}}', b'{"Timer":{"name":"size","after_s":8}}')
    dag = SagaDag.from_json(text)
    assert dag.to_json() == text
    assert dag.unknown_kinds == ["Timer"]
    with pytest.raises(UnrunnableSaga, match="kinds of nodes that are not known here: Timer"):
        ActionRegistry([]).check(dag)
    store = InMemorySecStore()
    async with lab(store) as one:
        one.failing = "address"
        await one.run()
    row = store.rows[SAGA_ID]
    row.created = replace(row.created, dag=text)
    row.state = StoredState.RUNNING
    async with lab(store) as other:
        status = await other.sec.recover(SAGA_ID)
        assert isinstance(status.state, SagaRunning)
        assert status.state.waiting_for == "kinds of nodes that are not known here: Timer"
    assert row.state is StoredState.RUNNING
