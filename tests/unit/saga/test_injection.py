"""Injections: what they do to a saga, that they fire where they say, and that those that do not are reported."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import trio
from saga_lab import SAGA_ID, SEC_ID, KeptLog
from saga_oracle import LogOracle, brief
from saga_shapes import Part, Shape

from nexus.saga import (
    Action,
    ActionContext,
    ActionFailure,
    ActionRegistry,
    DagBuilder,
    InjectedError,
    InMemorySecStore,
    SagaDag,
    SagaFailed,
    SagaId,
    SagaNotFound,
    SagaStuck,
    SagaSucceeded,
    Sec,
)
from nexus.saga.errors import DetailsGone, InjectionRefused, SagaLost
from nexus.saga.injection import CrashAt, Fail, Injection, InjectionState, Repeat
from nexus.saga.log import EventKind
from nexus.saga.sec import DETAILED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.saga import SagaState

E = EventKind


class Process:
    """A saga of the nodes a, then b and c, then d. `held` are actions that wait; d fails if told to."""

    def __init__(self, store: InMemorySecStore, *, d_fails: bool = False) -> None:
        self.calls: list[str] = []
        self.held: dict[str, trio.Event] = {}
        self.d_fails = d_fails
        self.log = KeptLog()
        self.crashed = trio.Event()
        self.crashes = 0
        self.act = Action("lab.act", self._act, undo=self._undo, params=int)
        self.sec = Sec(SEC_ID, store=store, registry=ActionRegistry([self.act]), log=self.log, crash=self._crash)

    def _crash(self) -> None:
        self.crashes += 1
        self.crashed.set()

    async def _act(self, context: ActionContext[int]) -> int:
        self.calls.append(f"act {context.node_name}")
        if context.node_name in self.held:
            await self.held[context.node_name].wait()
        if context.node_name == "d" and self.d_fails:
            raise ActionFailure("no d")
        return len(self.calls)

    async def _undo(self, context: ActionContext[int]) -> None:
        self.calls.append(f"undo {context.node_name}")

    def dag(self) -> SagaDag:
        builder = DagBuilder("lab").append(self.act.node("a"))
        return builder.append_parallel([self.act.node("b"), self.act.node("c")]).append(self.act.node("d")).build(0)

    async def run(self, *injections: Injection) -> SagaState:
        await self.sec.create(SAGA_ID, self.dag(), injections=injections)
        return (await self.sec.wait_ended(SAGA_ID)).state

    def reported(self) -> list[object]:
        return [fields["injection"] for _, line, fields in self.log.lines if line == "injection never fired"]


@asynccontextmanager
async def process(store: InMemorySecStore | None = None, *, d_fails: bool = False) -> AsyncIterator[Process]:
    async with trio.open_nursery() as nursery:
        one = Process(store or InMemorySecStore(), d_fails=d_fails)
        await nursery.start(one.sec.run)
        yield one
        nursery.cancel_scope.cancel()


async def test_a_crash_comes_once(autojump_clock: trio.testing.MockClock) -> None:
    """Other calls of the saga end while its log cannot be written, and so before the process dies."""
    store = InMemorySecStore()
    async with process(store) as one:
        one.held = {"b": trio.Event(), "c": trio.Event()}
        await one.sec.create(SAGA_ID, one.dag(), injections=[CrashAt("b", E.SUCCEEDED, "after")])
        await trio.testing.wait_all_tasks_blocked()
        store.go_away()
        for held in one.held.values():
            held.set()
            await trio.testing.wait_all_tasks_blocked()
        assert one.crashes == 0
        store.come_back()
        await trio.testing.wait_all_tasks_blocked()
        assert one.crashes == 1


async def test_nobody_waits_for_ever_where_a_crash_does_not_come(autojump_clock: trio.testing.MockClock) -> None:
    """What succeeds on the way to a crash is not acknowledged; if the saga is lost meanwhile, who waits is told."""
    store = InMemorySecStore()
    async with process(store) as one:
        one.held = {"b": trio.Event(), "c": trio.Event()}
        await one.sec.create(SAGA_ID, one.dag(), injections=[CrashAt("b", E.SUCCEEDED, "before")])
        await trio.testing.wait_all_tasks_blocked()
        store.go_away()
        async with trio.open_nursery() as nursery:

            async def wait_for(node_name: str) -> None:
                with pytest.raises(SagaLost):
                    await one.sec.wait_succeeded(SAGA_ID, node_name)

            for node_name in ("b", "c", "d"):
                nursery.start_soon(wait_for, node_name)
            for held in one.held.values():
                held.set()
                await trio.testing.wait_all_tasks_blocked()
            store.rows[SAGA_ID].claims.append(SEC_ID)
            store.come_back()
            await trio.testing.wait_all_tasks_blocked()
            await one.sec.check_claims()


async def test_an_action_fails(autojump_clock: trio.testing.MockClock) -> None:
    async with process() as one:
        assert await one.run(Fail("b", "action")) == SagaFailed("b", InjectedError())
        assert sorted(one.calls) == ["act a", "act c", "undo a", "undo c"]
        assert one.sec.details(SAGA_ID).injections == (InjectionState(Fail("b", "action"), fired=True),)
        assert one.reported() == []


async def test_an_undo_fails(autojump_clock: trio.testing.MockClock) -> None:
    async with process(d_fails=True) as one:
        state = await one.run(Fail("a", "undo"))
        assert isinstance(state, SagaStuck)
        assert (state.error_node_name, state.undo_error_node_name) == ("d", "a")
        assert state.undo_error.source_error == {"message": "error injected"}
        assert "undo a" not in one.calls


async def test_calls_are_repeated_and_noted(autojump_clock: trio.testing.MockClock) -> None:
    async with process(d_fails=True) as one:
        assert isinstance(await one.run(Repeat("a", "action", 3), Repeat("b", "undo", 2)), SagaFailed)
        assert one.calls.count("act a") == 3
        assert one.calls.count("undo b") == 2
        assert one.calls.count("undo a") == one.calls.count("act b") == 1
        nodes = {node.name: node for node in one.sec.details(SAGA_ID).nodes}
        assert nodes["a"].repeated_actions == 2
        assert nodes["b"].repeated_undos == 1


async def test_what_never_fires_is_reported(autojump_clock: trio.testing.MockClock) -> None:
    async with process() as one:
        injections = Fail("d", "undo"), CrashAt("a", E.UNDO_STARTED, "after"), CrashAt("b", E.FAILED, "before")
        assert await one.run(*injections) == SagaSucceeded()
        assert one.sec.details(SAGA_ID).injections == tuple(InjectionState(each, fired=False) for each in injections)
        assert one.reported() == [
            'fail the undo of "d"',
            'crash after "undo_started" of "a" is durable',
            'crash before "failed" of "b" is durable',
        ]


async def test_injected_while_held(autojump_clock: trio.testing.MockClock) -> None:
    async with process() as one:
        one.held["a"] = trio.Event()
        await one.sec.create(SAGA_ID, one.dag())
        await trio.testing.wait_all_tasks_blocked()
        for injection, reason in (
            (Fail("a", "action"), 'too late to fail the action of "a": the node\'s status is "started"'),
            (Repeat("a", "action", 2), "too late"),
            (CrashAt("a", E.STARTED, "before"), "too late"),
            (Fail("x", "action"), 'has no node "x"; those it has are a, b, '),
            (Fail("aa", "action"), 'has no node "aa"; the nearest is "a"'),
            (Fail("(start node)", "action"), "calls nothing"),
            (Repeat("b", "action", 1), "is made 2 to 1000 times"),
        ):
            with pytest.raises(InjectionRefused, match=reason):
                one.sec.inject(SAGA_ID, injection)
        one.sec.inject(SAGA_ID, Fail("b", "action"))
        one.held["a"].set()
        assert (await one.sec.wait_ended(SAGA_ID)).state == SagaFailed("b", InjectedError())
        with pytest.raises(InjectionRefused, match="does not run here"):
            one.sec.inject(SAGA_ID, Fail("b", "undo"))


async def test_refused_at_creation_leaves_no_saga(autojump_clock: trio.testing.MockClock) -> None:
    async with process() as one:
        with pytest.raises(InjectionRefused):
            await one.run(Fail("x", "action"))
        with pytest.raises(SagaNotFound):
            one.sec.saga(SAGA_ID)
        with pytest.raises(SagaNotFound):
            one.sec.inject(SAGA_ID, Fail("a", "action"))


SHAPE = Shape(((Part.ACTION,), (Part.ACTION, Part.ACTION), (Part.ACTION,)))
FORWARD = (E.STARTED, E.SUCCEEDED)
UNWINDING = (E.UNDO_STARTED, E.UNDO_FINISHED)


def points(*, d_fails: bool) -> list[CrashAt]:
    """Before and after every event of the saga."""
    names = ["(start node)", "a", "b", "c", "d"]
    events = [(name, kind) for name in names for kind in FORWARD]
    if d_fails:
        events = [*events[:-1], ("d", E.FAILED), *((name, kind) for name in names[:-1] for kind in UNWINDING)]
    else:
        events += [("(end node)", kind) for kind in FORWARD]
    return [CrashAt(name, kind, when) for name, kind in events for when in ("before", "after")]


@pytest.mark.parametrize("d_fails", [False, True], ids=["forward", "unwinding"])
async def test_a_crash_at_every_event_and_a_recovery(autojump_clock: trio.testing.MockClock, d_fails: bool) -> None:
    for point in points(d_fails=d_fails):
        store = InMemorySecStore()
        async with process(store, d_fails=d_fails) as one:
            await one.sec.create(SAGA_ID, one.dag(), injections=[point])
            await one.crashed.wait()
            claim = await store.claim(SAGA_ID, sec_id=SEC_ID)
            events = brief((await store.load(claim)).events)
            LogOracle(SHAPE).read(events)
            node = 4 if point.node_name == "(start node)" else 5 if point.node_name == "(end node)" else 0
            node = "abcd".index(point.node_name) if point.node_name in "abcd" else node
            assert ((node, str(point.event)) in events) == (point.when == "after"), point
            if point.when == "after":
                assert events[-1] == (node, str(point.event)), "nothing after it is durable"
        async with process(store, d_fails=d_fails) as two:
            await two.sec.recover(SAGA_ID)
            state = (await two.sec.wait_ended(SAGA_ID)).state
            assert isinstance(state, SagaFailed if d_fails else SagaSucceeded), point
            assert two.sec.details(SAGA_ID).injections == (), "an injection dies with its process"


async def test_nothing_is_acknowledged_once_the_process_is_to_die(autojump_clock: trio.testing.MockClock) -> None:
    async with process() as one:
        await one.sec.create(SAGA_ID, one.dag(), injections=[CrashAt("a", E.SUCCEEDED, "before")])
        with trio.move_on_after(1) as waiting:
            await one.sec.wait_succeeded(SAGA_ID, "a")
        assert waiting.cancelled_caught
        assert one.calls == ["act a"]


async def test_the_details_of_sagas_that_ended_long_ago_are_gone(autojump_clock: trio.testing.MockClock) -> None:
    async with process() as one:
        ids = [SagaId(UUID(int=number)) for number in range(DETAILED + 1)]
        for saga_id in ids:
            await one.sec.create(saga_id, one.dag())
            await one.sec.wait_ended(saga_id)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(DetailsGone):
            one.sec.details(ids[0])
        with pytest.raises(InjectionRefused, match="does not run here"):
            one.sec.inject(ids[0], Fail("a", "undo"))
        assert one.sec.saga(ids[0]).state == SagaSucceeded()
        await one.sec.wait_succeeded(ids[0], "a")
        assert {node.status for node in one.sec.details(ids[1]).nodes} == {"succeeded"}
