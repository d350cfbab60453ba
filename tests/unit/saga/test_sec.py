"""The coordinator and the executor on the store in memory: one hazard a test."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
import trio
from saga_lab import OTHER_SEC_ID, SAGA_ID, SEC_ID, KeptLog
from saga_oracle import brief
from trio.testing import wait_all_tasks_blocked

from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry, AnyAction
from nexus.saga.action_error import ActionFailed, DeserializeFailed, SerializeFailed, UndoActionError
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.errors import (
    NewSagasRefused,
    OutcomeUnknown,
    SagaEnded,
    SagaError,
    SagaExists,
    SagaLost,
    SagaNotFound,
    SecNotRunning,
    StoreUnavailable,
    UnrecoverableSaga,
    UnrunnableSaga,
    WriteRefused,
)
from nexus.saga.execution import SagaFailed, SagaStuck, SagaSucceeded
from nexus.saga.executor import UndoRetries
from nexus.saga.ids import NodeId, SagaId, SecId
from nexus.saga.log import NodeEvent
from nexus.saga.nodes import constant
from nexus.saga.payload import MAX_PAYLOAD_BYTES, encode
from nexus.saga.sec import CLAIM_CHECK_PERIOD_S, Sec
from nexus.saga.status import SagaRunning
from nexus.saga.store import InMemorySecStore, NodeAttempt, StoredState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nexus.saga.dag import SagaDag
    from nexus.saga.store import NewSaga, SagaLogWriter, SecStore

    Run = Callable[[ActionContext[Any]], Awaitable[object]]


class Params(msgspec.Struct, frozen=True):
    size: int = 1


def number(value: int) -> SagaId:
    return SagaId(UUID(int=value))


async def done(context: ActionContext[Any]) -> str:
    return context.node_name


async def undo_nothing(context: ActionContext[Any]) -> None:
    pass


class Gate:
    """Actions that wait until they are let go, and tell how often they were called."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self.calls: list[str] = []

    async def run(self, context: ActionContext[Any]) -> str:
        self.calls.append(context.node_name)
        await self.open.wait()
        return "through"


def failing(error: Exception) -> Run:
    async def run(context: ActionContext[Any]) -> None:
        raise error

    return run


def chain(*actions: AnyAction) -> SagaDag:
    """One action after the other: nodes `n0`, `n1`, ..."""
    builder = DagBuilder("chain")
    for index, action in enumerate(actions):
        builder.append(action.node(f"n{index}"))
    return builder.build(Params())


def action(name: str, run: Run = done, *, undo: Any = None) -> AnyAction:
    return Action(f"test.{name}", run, params=Params, undo=undo)


def alike(*actions: AnyAction) -> ActionRegistry:
    return ActionRegistry(actions)


@asynccontextmanager
async def running(
    store: SecStore, registry: ActionRegistry, *, sec_id: SecId = SEC_ID, log: KeptLog | None = None, **options: Any
) -> AsyncIterator[Sec]:
    """A process with one SEC; leaving the block kills it."""
    async with trio.open_nursery() as nursery:
        sec = Sec(sec_id, store=store, registry=registry, log=log or KeptLog(), **options)
        await nursery.start(sec.run)
        yield sec
        nursery.cancel_scope.cancel()


def log_of(store: InMemorySecStore, saga_id: SagaId = SAGA_ID) -> list[tuple[int, str]]:
    return brief(event for _, event in store.rows[saga_id].events)


# --- what a saga does ------------------------------------------------------------------------------------------------


async def test_a_saga_succeeds() -> None:
    store = InMemorySecStore()
    one = action("one")
    async with running(store, alike(one)) as sec:
        await sec.create(SAGA_ID, chain(one, one))
        status = await sec.wait_ended(SAGA_ID)
        assert status.state == SagaSucceeded() == sec.saga(SAGA_ID).state
        assert (status.saga_name, status.claim) == ("chain", 1)
        assert sec.drain_started() == [SAGA_ID]
        assert sec.drain_started() == []
    assert store.rows[SAGA_ID].state is StoredState.DONE
    assert log_of(store) == [(node, kind) for node in (2, 0, 1, 3) for kind in ("started", "succeeded")]


async def test_an_action_knows_its_saga_and_its_ancestors() -> None:
    seen: list[object] = []

    async def look(context: ActionContext[Params]) -> int:
        seen.append((context.saga_id, context.claim, context.node_name, context.params))
        seen.append(context.lookup("id", UUID))
        return 7

    async def undo_look(context: ActionContext[Params]) -> None:
        seen.append(context.lookup("look", int))

    watcher = Action("test.look", look, params=Params, undo=undo_look)
    fail = action("fail", failing(ActionFailure("no")))
    dag = (
        DagBuilder("looking")
        .append(constant("id", UUID(int=9)))
        .append(watcher.node("look"))
        .append(fail.node("fail"))
        .build(Params(size=3))
    )
    async with running(InMemorySecStore(), alike(watcher, fail)) as sec:
        await sec.create(SAGA_ID, dag)
        await sec.wait_ended(SAGA_ID)
    assert seen == [(SAGA_ID, 1, "look", Params(size=3)), UUID(int=9), 7]


async def test_nodes_of_a_stage_run_at_the_same_time() -> None:
    gate = Gate()
    wait, after = action("wait", gate.run), action("after")
    dag = (
        DagBuilder("fork")
        .append_parallel([wait.node("a"), wait.node("b"), wait.node("c")])
        .append(after.node("d"))
        .build(Params())
    )
    async with running(InMemorySecStore(), alike(wait, after)) as sec:
        await sec.create(SAGA_ID, dag)
        await wait_all_tasks_blocked()
        assert sorted(gate.calls) == ["a", "b", "c"]
        gate.open.set()
        assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (ActionFailure({"code": 7}), ActionFailed({"code": 7})),
        (ValueError("bad size"), ActionFailed({"message": "ValueError: bad size"})),
        (KeyError(), ActionFailed({"message": "KeyError"})),
        (ValueError("a\0b\ud800"), ActionFailed({"message": "ValueError: a\\x00b\\ud800"})),
        (ExceptionGroup("two", [ValueError("1")]), ActionFailed({"message": "ExceptionGroup: two (1 sub-exception)"})),
        pytest.param(
            ActionFailure("x" * (MAX_PAYLOAD_BYTES - 2)),  # fits, but not with what the log puts around it
            SerializeFailed("the error of the action cannot be stored: 1048610 bytes of JSON are more than 1048576"),
            id="big",
        ),
        (
            ActionFailure(float("nan")),
            SerializeFailed("the error of the action cannot be stored: nan is not a JSON number"),
        ),
    ],
)
async def test_how_an_action_fails(error: Exception, recorded: object) -> None:
    store = InMemorySecStore()
    fail = action("fail", failing(error))
    async with running(store, alike(fail)) as sec:
        await sec.create(SAGA_ID, chain(fail))
        assert (await sec.wait_ended(SAGA_ID)).state == SagaFailed("n0", recorded)  # type: ignore[arg-type]
    assert store.rows[SAGA_ID].state is StoredState.DONE


@pytest.mark.parametrize("output", ["a\0b", "\ud800", float("nan"), [float("-inf")], "x" * (1 << 20), object()])
async def test_an_output_that_cannot_be_stored_fails_its_node(output: object) -> None:
    undone: list[str] = []

    async def undo(context: ActionContext[Any]) -> None:
        undone.append(context.node_name)

    async def bad(context: ActionContext[Any]) -> object:
        return output

    good, bad_action = action("good", undo=undo), action("bad", bad, undo=undo)
    async with running(InMemorySecStore(), alike(good, bad_action)) as sec:
        await sec.create(SAGA_ID, chain(good, bad_action))
        state = (await sec.wait_ended(SAGA_ID)).state
    assert isinstance(state, SagaFailed)
    assert isinstance(state.error, SerializeFailed)
    assert undone == ["n0"]


async def test_an_ancestors_output_of_another_type_is_a_deserialize_failure() -> None:
    async def look(context: ActionContext[Any]) -> None:
        context.lookup("n0", int)

    one, two = action("one"), action("two", look)
    async with running(InMemorySecStore(), alike(one, two)) as sec:
        await sec.create(SAGA_ID, chain(one, two))
        state = (await sec.wait_ended(SAGA_ID)).state
    assert state == SagaFailed("n1", DeserializeFailed("Expected `int`, got `str`"))


async def test_unwinding_is_stored_and_undoes_in_reverse() -> None:
    store = InMemorySecStore()
    gate = Gate()

    async def undo(context: ActionContext[Any]) -> None:
        await gate.run(context)

    one, fail = action("one", undo=undo), action("fail", failing(ActionFailure("no")))
    async with running(store, alike(one, fail)) as sec:
        await sec.create(SAGA_ID, chain(one, one, fail))
        await wait_all_tasks_blocked()
        assert store.rows[SAGA_ID].state is StoredState.UNWINDING
        assert sec.saga(SAGA_ID).state == SagaRunning(unwinding=True)
        gate.open.set()
        assert (await sec.wait_ended(SAGA_ID)).state == SagaFailed("n2", ActionFailed("no"))
    assert gate.calls == ["n1", "n0"]


# --- undo actions that fail ------------------------------------------------------------------------------------------


class Flaky:
    """An undo action that fails so many times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.called_at: list[float] = []

    async def undo(self, context: ActionContext[Any]) -> None:
        self.called_at.append(trio.current_time())
        if len(self.called_at) <= self.failures:
            raise self.error


class Away(Exception):
    retryable = True


async def unwind(store: InMemorySecStore, flaky: Flaky, **options: Any) -> object:
    one, fail = action("one", undo=flaky.undo), action("fail", failing(ActionFailure("no")))
    async with running(store, alike(one, fail), **options) as sec:
        await sec.create(SAGA_ID, chain(one, fail))
        return (await sec.wait_ended(SAGA_ID)).state


async def test_undo_is_retried_while_its_error_is_transient(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    flaky = Flaky(3, Away("not now"))
    retries = UndoRetries(calls=5, first_pause_s=1.0, longest_pause_s=2.0)
    assert await unwind(store, flaky, undo_retries=retries) == SagaFailed("n1", ActionFailed("no"))
    assert [at - flaky.called_at[0] for at in flaky.called_at] == [0.0, 1.0, 3.0, 5.0]
    error = encode({"message": "Away: not now"})
    assert [attempt for _, attempt in store.rows[SAGA_ID].attempts] == [
        NodeAttempt(SAGA_ID, NodeId(0), "undo", attempt, error) for attempt in (1, 2, 3)
    ]


async def test_undo_that_stays_transient_is_stuck_in_the_end(autojump_clock: trio.testing.MockClock) -> None:
    state = await unwind(InMemorySecStore(), Flaky(99, Away("not now")), undo_retries=UndoRetries(calls=3))
    assert state == SagaStuck(
        "n1", ActionFailed("no"), "n0", UndoActionError({"message": "undo action attempt 3: Away: not now"})
    )


@pytest.mark.parametrize(
    ("error", "told"), [(ValueError("broken"), "ValueError: broken"), (ActionFailure("broken"), "broken")]
)
async def test_undo_with_a_permanent_error_is_stuck_at_once(error: Exception, told: str) -> None:
    store = InMemorySecStore()
    flaky = Flaky(1, error)
    state = await unwind(store, flaky)
    assert state == SagaStuck(
        "n1", ActionFailed("no"), "n0", UndoActionError({"message": f"undo action attempt 1: {told}"})
    )
    assert len(flaky.called_at) == 1
    assert store.rows[SAGA_ID].state is StoredState.DONE
    assert log_of(store)[-1] == (0, "undo_failed")


def test_an_action_is_an_async_function() -> None:
    """Called, it would have done something before anybody finds out."""
    with pytest.raises(TypeError, match=r"action test\.a: <function .*> is no async function"):
        Action("test.a", lambda context: None, params=Params)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="is no async function"):
        Action("test.a", done, params=Params, undo=print)  # type: ignore[arg-type]


async def test_a_claim_that_is_lost_before_a_call_is_no_failure_of_the_action() -> None:
    store, log = InMemorySecStore(), KeptLog()
    gate = Gate()
    one, two = action("one", gate.run), action("two")
    async with running(store, alike(one, two), log=log) as sec:
        await sec.create(SAGA_ID, chain(one, two))
        await wait_all_tasks_blocked()
        store.rows[SAGA_ID].claims.append(SEC_ID)
        gate.open.set()
        await wait_all_tasks_blocked()
        assert sec.sagas() == []
    assert [line for _, line, _ in log.lines if "failed" in line] == []


async def test_action_failure_can_ask_for_another_undo(autojump_clock: trio.testing.MockClock) -> None:
    flaky = Flaky(1, ActionFailure("not now", retryable=True))
    assert isinstance(await unwind(InMemorySecStore(), flaky), SagaFailed)


async def test_a_stuck_saga_reloads_as_stuck() -> None:
    """The process dies between `undo_failed` and `done`."""
    store = InMemorySecStore()
    await unwind(store, Flaky(1, ValueError("broken")))
    store.rows[SAGA_ID].state = StoredState.UNWINDING
    async with running(store, alike(action("one"), action("fail"))) as sec:
        await sec.recover(SAGA_ID)
        state = (await sec.wait_ended(SAGA_ID)).state
    assert isinstance(state, SagaStuck)
    assert state.undo_error == UndoActionError({"message": "undo action attempt 1: ValueError: broken"})
    assert store.rows[SAGA_ID].state is StoredState.DONE


# --- recovery --------------------------------------------------------------------------------------------------------


async def parked(store: InMemorySecStore, **options: Any) -> None:
    """A process whose saga waits in its second node, and then dies."""
    gate = Gate()
    one, wait = action("one"), action("wait", gate.run)
    async with running(store, alike(one, wait), **options) as sec:
        await sec.create(SAGA_ID, chain(one, wait))
        await wait_all_tasks_blocked()
        assert gate.calls == ["n1"]


async def test_a_saga_is_recovered_and_its_call_repeated() -> None:
    store = InMemorySecStore()
    await parked(store)
    claims: list[int] = []

    async def again(context: ActionContext[Any]) -> None:
        claims.append(context.claim)

    async with running(store, alike(action("one", failing(AssertionError())), action("wait", again))) as sec:
        status = await sec.recover(SAGA_ID)
        assert status.state == SagaRunning()
        assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()
        assert sec.drain_started() == []
    assert claims == [2]
    assert log_of(store).count((1, "started")) == 1
    assert store.rows[SAGA_ID].attempts == [(2, NodeAttempt(SAGA_ID, NodeId(1), "action", 1))]


async def test_recovery_pages_and_lists_only_what_is_in_progress() -> None:
    store = InMemorySecStore()
    gate = Gate()
    wait, one = action("wait", gate.run), action("one")
    async with running(store, alike(wait, one)) as sec:
        for value in (3, 1, 2):
            await sec.create(number(value), chain(wait))
        await sec.create(number(4), chain(one))
        await sec.wait_ended(number(4))
        first = await sec.list_in_progress(limit=2)
        rest = await sec.list_in_progress(after=first[-1].saga_id, limit=2)
    assert [saga.saga_id for saga in first + rest] == [number(1), number(2), number(3)]


@pytest.mark.parametrize("history", [0, 2])
async def test_ended_sagas_leave_memory(history: int) -> None:
    one = action("one")
    async with running(InMemorySecStore(), alike(one), history=history) as sec:
        for value in (5, 4, 3, 2, 1):
            await sec.create(number(value), chain(one))
            await sec.wait_ended(number(value))
        assert [status.saga_id for status in sec.sagas()] == [number(value) for value in (1, 2)[:history]]
        with pytest.raises(SagaNotFound):
            sec.saga(number(5))


async def test_sagas_in_memory_page_by_id() -> None:
    gate = Gate()
    wait = action("wait", gate.run)
    async with running(InMemorySecStore(), alike(wait)) as sec:
        for value in (3, 1, 2):
            await sec.create(number(value), chain(wait))
        assert [status.saga_id for status in sec.sagas(limit=2)] == [number(1), number(2)]
        assert [status.saga_id for status in sec.sagas(after=number(2), limit=2)] == [number(3)]
        assert sec.sagas(after=number(3), limit=2) == []


async def test_a_saga_is_held_once() -> None:
    gate = Gate()
    wait = action("wait", gate.run)
    async with running(InMemorySecStore(), alike(wait)) as sec:
        await sec.create(SAGA_ID, chain(wait))
        with pytest.raises(SagaExists):
            await sec.create(SAGA_ID, chain(wait))
        with pytest.raises(SagaExists):
            await sec.recover(SAGA_ID)
        with pytest.raises(SagaNotFound):
            await sec.recover(number(1))


async def test_two_creations_of_one_id() -> None:
    """Another process took it: the store knows."""
    store = InMemorySecStore()
    await parked(store, sec_id=OTHER_SEC_ID)
    one = action("one")
    async with running(store, alike(one)) as sec:
        with pytest.raises(SagaExists):
            await sec.create(SAGA_ID, chain(one))
        assert sec.sagas() == []


# --- G5: nothing is dropped ------------------------------------------------------------------------------------------


async def test_g5_a_saga_whose_action_is_not_registered_here_waits() -> None:
    store = InMemorySecStore()
    await parked(store)
    one = action("one")
    async with running(store, alike(one)) as sec:
        status = await sec.recover(SAGA_ID)
        assert status.state == SagaRunning(waiting_for="actions not registered here: test.wait")
        await wait_all_tasks_blocked()
        assert sec.sagas() == [status]
    assert store.rows[SAGA_ID].state is StoredState.RUNNING
    async with running(store, alike(one, action("wait"))) as sec:
        await sec.recover(SAGA_ID)
        assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()


async def test_g5_a_saga_whose_parameters_do_not_decode_here_waits() -> None:
    class OtherParams(msgspec.Struct):
        name: str

    store = InMemorySecStore()
    await parked(store)
    changed = alike(action("one"), Action("test.wait", done, params=OtherParams))
    async with running(store, changed) as sec:
        state = (await sec.recover(SAGA_ID)).state
    assert isinstance(state, SagaRunning)
    assert state.waiting_for is not None
    assert "parameters do not decode as test.wait wants them" in state.waiting_for


async def test_what_cannot_be_run_is_not_created() -> None:
    store = InMemorySecStore()
    async with running(store, alike()) as sec:
        with pytest.raises(UnrunnableSaga, match=r"actions not registered here: test\.one"):
            await sec.create(SAGA_ID, chain(action("one")))
        assert sec.drain_started() == []
    assert not store.rows


@pytest.mark.parametrize("fault", ["log", "dag"])
async def test_g5_a_log_that_cannot_be_replayed_is_abandoned_with_its_reason(fault: str) -> None:
    store = InMemorySecStore()
    await parked(store)
    row = store.rows[SAGA_ID]
    if fault == "log":
        row.events.append((1, NodeEvent.undo_finished(SAGA_ID, NodeId(0))))
    else:
        row.created = replace(row.created, dag=b"{}")
    one, wait = action("one"), action("wait")
    async with running(store, alike(one, wait)) as sec:
        with pytest.raises(UnrecoverableSaga) as caught:
            await sec.recover(SAGA_ID)
        assert not caught.value.retryable
        assert sec.sagas() == []
        await sec.abandon_unrecoverable(caught.value)
        assert await sec.list_in_progress() == []
    assert row.state is StoredState.ABANDONED
    assert row.abandoned == ("unrecoverable", caught.value.reason)


async def test_an_unrecoverable_saga_that_somebody_else_took_is_not_abandoned() -> None:
    store = InMemorySecStore()
    await parked(store)
    row = store.rows[SAGA_ID]
    row.events.append((1, NodeEvent.undo_finished(SAGA_ID, NodeId(0))))
    async with running(store, alike(action("one"), action("wait"))) as sec:
        with pytest.raises(UnrecoverableSaga) as caught:
            await sec.recover(SAGA_ID)
        adopt(store)
        with pytest.raises(SagaLost):
            await sec.abandon_unrecoverable(caught.value)
    assert row.state is StoredState.RUNNING


# --- G4: one claim ---------------------------------------------------------------------------------------------------


def adopt(store: InMemorySecStore) -> None:
    """As reassignment does, in one transaction."""
    row = store.rows[SAGA_ID]
    row.current_sec = OTHER_SEC_ID
    row.adopt_generation += 1
    row.claims.append(OTHER_SEC_ID)


async def test_g4_a_saga_that_was_adopted_is_given_up_and_the_others_are_kept() -> None:
    store = InMemorySecStore()
    gate, log = Gate(), KeptLog()
    wait, one = action("wait", gate.run), action("one")
    dag = DagBuilder("fork").append_parallel([wait.node("a"), wait.node("b")]).append(one.node("c")).build(Params())
    async with running(store, alike(wait, one), log=log) as sec:
        await sec.create(SAGA_ID, dag)
        await sec.create(number(1), dag)
        await wait_all_tasks_blocked()
        adopt(store)
        before = log_of(store)
        gate.open.set()
        with pytest.raises(SagaLost, match=f"was adopted by SEC {OTHER_SEC_ID}"):
            await sec.wait_ended(SAGA_ID)
        assert (await sec.wait_ended(number(1))).state == SagaSucceeded()
        assert [status.saga_id for status in sec.sagas()] == [number(1)]
    assert log_of(store) == before
    assert ("warning", "saga lost; not running it any more") in [line[:2] for line in log.lines]


async def test_g4_a_saga_that_only_waits_is_given_up_when_the_claims_are_checked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It writes nothing by which it could notice. Also one that is held here without its code."""
    store = InMemorySecStore()
    gate = Gate()
    wait, elsewhere = action("wait", gate.run), action("elsewhere", gate.run)
    dag = DagBuilder("t").append(wait.node("a")).build(Params())
    async with running(store, alike(elsewhere)) as gone:
        await gone.create(number(2), DagBuilder("t").append(elsewhere.node("a")).build(Params()))
    async with running(store, alike(wait)) as sec:
        await sec.create(SAGA_ID, dag)
        await sec.recover(number(2))
        await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID)
        await sec.create(number(3), dag)
        with trio.fail_after(2 * CLAIM_CHECK_PERIOD_S), pytest.raises(SagaLost, match=f"by SEC {OTHER_SEC_ID}"):
            await sec.wait_ended(SAGA_ID)
        assert trio.current_time() == pytest.approx(CLAIM_CHECK_PERIOD_S)
        await wait_all_tasks_blocked()
        assert [status.saga_id for status in sec.sagas()] == [number(3)]
        assert sorted(lost.saga_id for lost in sec.drain_lost()) == [number(2), SAGA_ID]
        assert sec.drain_lost() == []
        assert await sec.check_claims() == []


async def test_g4_who_waits_for_a_node_of_a_saga_without_its_code_hears_that_it_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = InMemorySecStore()
    await parked(store)
    async with running(store, alike(action("elsewhere"))) as sec:
        await sec.recover(SAGA_ID)
        adopt(store)
        with trio.fail_after(2 * CLAIM_CHECK_PERIOD_S), pytest.raises(SagaLost, match=f"by SEC {OTHER_SEC_ID}"):
            await sec.wait_succeeded(SAGA_ID, "n1")


async def test_claims_are_checked_again_after_the_store_was_away(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    gate, log = Gate(), KeptLog()
    wait = action("wait", gate.run)
    async with running(store, alike(wait), log=log) as sec:
        await sec.create(SAGA_ID, DagBuilder("t").append(wait.node("a")).build(Params()))
        adopt(store)
        store.go_away()
        await trio.sleep(2.5 * CLAIM_CHECK_PERIOD_S)
        assert len(sec.sagas()) == 1
        assert [line[1] for line in log.lines].count("claims could not be checked for now") == 2
        store.come_back()
        with pytest.raises(SagaLost):
            await sec.wait_ended(SAGA_ID)


async def test_g4_two_processes_of_one_sec_id() -> None:
    """The one that recovered the saga last has it; the other's event is refused, and its other call cancelled."""
    store = InMemorySecStore()
    gate = Gate()
    cancelled: list[str] = []
    released = trio.Event()

    async def hang(context: ActionContext[Any]) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(context.node_name)
            raise

    async def released_first(context: ActionContext[Any]) -> None:
        await released.wait()

    dag = (
        DagBuilder("fork")
        .append_parallel([action("a").node("a"), action("b").node("b")])
        .append(action("c").node("c"))
        .build(Params())
    )
    stale = alike(action("a", released_first), action("b", hang), action("c"))
    fresh = alike(action("a", gate.run), action("b"), action("c"))
    async with running(store, stale) as old, running(store, fresh) as new:
        await old.create(SAGA_ID, dag)
        await wait_all_tasks_blocked()
        await new.recover(SAGA_ID)
        await wait_all_tasks_blocked()
        released.set()
        with pytest.raises(SagaLost, match="was claimed again"):
            await old.wait_succeeded(SAGA_ID, "a")
        await wait_all_tasks_blocked()
        with pytest.raises(SagaNotFound):
            old.saga(SAGA_ID)
        assert cancelled == ["b"]
        assert (0, "succeeded") not in log_of(store)
        gate.open.set()
        assert (await new.wait_ended(SAGA_ID)).state == SagaSucceeded()
    assert {claim for claim, event in store.rows[SAGA_ID].events if event.node_id == 2} == {2}


async def test_a_lost_saga_is_not_recovered() -> None:
    store = InMemorySecStore()
    await parked(store)
    adopt(store)
    async with running(store, alike(action("one"), action("wait"))) as sec:
        with pytest.raises(SagaLost, match=f"is assigned to SEC {OTHER_SEC_ID}, not to {SEC_ID}"):
            await sec.recover(SAGA_ID)
    async with running(store, alike(action("one"), action("wait")), sec_id=OTHER_SEC_ID) as sec:
        await sec.recover(SAGA_ID)
        assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()
        with pytest.raises(SagaExists):
            await sec.recover(SAGA_ID)


# --- G1: what is acknowledged ----------------------------------------------------------------------------------------


async def test_create_while_the_store_is_away_is_refused() -> None:
    store = InMemorySecStore()
    one = action("one")
    async with running(store, alike(one)) as sec:
        store.go_away()
        with pytest.raises(StoreUnavailable) as caught:
            await sec.create(SAGA_ID, chain(one))
        assert caught.value.retryable
        assert not isinstance(caught.value, OutcomeUnknown)
        assert sec.drain_started() == [SAGA_ID]  # its id goes into the channel before the record is written
        store.come_back()
        await sec.create(SAGA_ID, chain(one))
        assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()


async def test_a_store_that_goes_away_twice_comes_back_to_all_who_wait(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    one = action("one")
    async with running(store, alike(one)) as sec:
        await sec.create(SAGA_ID, chain(one))
        store.go_away()
        await trio.testing.wait_all_tasks_blocked()
        store.go_away()
        store.come_back()
        with trio.fail_after(30):
            assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()


class DoubtfulStore(InMemorySecStore):
    """Creates, or does not, and then says that it does not know."""

    def __init__(self, *, commits: bool) -> None:
        super().__init__()
        self.commits = commits
        self.answers: list[SagaError] = [
            OutcomeUnknown("lost while committing"),
            StoreUnavailable("away"),
            StoreUnavailable("away"),
        ]

    async def create(self, saga: NewSaga) -> SagaLogWriter:
        if self.commits:
            await super().create(saga)
        if self.answers:
            raise self.answers.pop(0)
        return await super().create(saga)


@pytest.mark.parametrize("commits", [True, False])
async def test_g1_a_creation_whose_outcome_is_unknown_ends_as_a_saga_that_runs(
    commits: bool, autojump_clock: trio.testing.MockClock
) -> None:
    store = DoubtfulStore(commits=commits)
    one = action("one")
    async with running(store, alike(one)) as sec:
        await sec.create(SAGA_ID, chain(one))
        assert store.answers == []
        assert (await sec.wait_ended(SAGA_ID)).state == SagaSucceeded()


async def test_a_creation_in_doubt_that_is_refused_is_in_doubt_no_more(autojump_clock: trio.testing.MockClock) -> None:
    store = DoubtfulStore(commits=False)
    store.answers.append(NewSagasRefused("not any more"))
    async with running(store, alike(action("one"))) as sec:
        with trio.fail_after(60), pytest.raises(NewSagasRefused):
            await sec.create(SAGA_ID, chain(action("one")))
        assert sec.idle


async def test_g1_a_creation_that_nobody_waits_for_any_more_runs() -> None:
    store = InMemorySecStore()
    one = action("one")
    async with running(store, alike(one)) as sec:
        with trio.CancelScope() as scope:
            scope.cancel()
            await sec.create(SAGA_ID, chain(one))
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        assert sec.saga(SAGA_ID).state == SagaSucceeded()


async def test_stopping_in_the_middle_of_a_creation_answers_that_it_is_unknown() -> None:
    store = DoubtfulStore(commits=True)
    one = action("one")
    caught: list[BaseException] = []

    async def create(sec: Sec) -> None:
        try:
            await sec.create(SAGA_ID, chain(one))
        except OutcomeUnknown as error:
            caught.append(error)

    async with trio.open_nursery() as nursery, running(store, alike(one)) as sec:
        nursery.start_soon(create, sec)
        await wait_all_tasks_blocked()
    assert len(caught) == 1
    with pytest.raises(SecNotRunning):
        await sec.create(SAGA_ID, chain(one))


async def test_nothing_is_called_acknowledged_or_shown_before_it_is_durable() -> None:
    store = InMemorySecStore()
    gate = Gate()
    one, wait, after = action("one"), action("wait", gate.run), action("after", gate.run)
    acknowledged = trio.Event()

    async def acknowledge(sec: Sec) -> None:
        await sec.wait_succeeded(SAGA_ID, "n0")
        acknowledged.set()

    async with trio.open_nursery() as nursery, running(store, alike(one, wait, after)) as sec:
        await sec.create(SAGA_ID, chain(wait, after))
        await wait_all_tasks_blocked()
        nursery.start_soon(acknowledge, sec)
        await wait_all_tasks_blocked()
        store.go_away()
        gate.open.set()
        await wait_all_tasks_blocked()
        assert gate.calls == ["n0"]  # `started` of n1 is not durable
        assert not acknowledged.is_set()
        store.come_back()
        await wait_all_tasks_blocked()
        assert gate.calls == ["n0", "n1"]
        assert acknowledged.is_set()
        assert sec.saga(SAGA_ID).state == SagaSucceeded()


async def test_an_end_is_shown_when_it_is_durable() -> None:
    store = InMemorySecStore()
    gate = Gate()
    wait = action("wait", gate.run)
    async with running(store, alike(wait)) as sec:
        await sec.create(SAGA_ID, chain(wait))
        await wait_all_tasks_blocked()
        store.go_away()
        gate.open.set()
        await wait_all_tasks_blocked()
        assert sec.saga(SAGA_ID).state == SagaRunning()
        store.come_back()
        await wait_all_tasks_blocked()
        assert sec.saga(SAGA_ID).state == SagaSucceeded()


# --- waiting for a node ----------------------------------------------------------------------------------------------


async def test_wait_succeeded_of_ended_and_failed_sagas() -> None:
    one, fail = action("one"), action("fail", failing(ActionFailure("no")))
    async with running(InMemorySecStore(), alike(one, fail)) as sec:
        await sec.create(number(1), chain(one))
        await sec.wait_succeeded(number(1), "n0")
        await sec.wait_ended(number(1))
        await sec.wait_succeeded(number(1), "n0")
        await sec.create(number(2), chain(one, fail))
        with pytest.raises(SagaEnded):
            await sec.wait_succeeded(number(2), "n1")
        with pytest.raises(SagaEnded):
            await sec.wait_succeeded(number(2), "n0")
        with pytest.raises(SagaNotFound):
            await sec.wait_succeeded(number(3), "n0")


async def test_wait_succeeded_of_a_node_that_is_not_there() -> None:
    gate = Gate()
    wait = action("wait", gate.run)
    async with running(InMemorySecStore(), alike(wait)) as sec:
        await sec.create(SAGA_ID, chain(wait))
        with pytest.raises(SagaEnded, match='has no node "nobody"'):
            await sec.wait_succeeded(SAGA_ID, "nobody")


# --- cancellation, bugs, refusals ------------------------------------------------------------------------------------


async def translate(context: ActionContext[Any]) -> None:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        raise RuntimeError("translated") from None


async def add_an_error(context: ActionContext[Any]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(translate, context)
        await trio.sleep_forever()


@pytest.mark.parametrize("run", [translate, add_an_error])
async def test_an_error_that_comes_of_being_cancelled_is_no_failure(run: Run) -> None:
    store = InMemorySecStore()
    wait, log = action("wait", run), KeptLog()
    async with running(store, alike(wait), log=log) as sec:
        await sec.create(SAGA_ID, chain(wait))
        await wait_all_tasks_blocked()
    assert "action failed" not in [line[1] for line in log.lines]
    assert (0, "failed") not in log_of(store)


@pytest.mark.parametrize("run", [translate, add_an_error])
async def test_g4_a_lost_saga_is_stopped_whatever_its_actions_raise_then(run: Run) -> None:
    store = InMemorySecStore()
    gate = Gate()
    a, b = action("a", gate.run), action("b", run)
    dag = DagBuilder("fork").append_parallel([a.node("a"), b.node("b")]).append(a.node("c")).build(Params())
    async with running(store, alike(a, b)) as sec:
        await sec.create(SAGA_ID, dag)
        await wait_all_tasks_blocked()
        adopt(store)
        gate.open.set()
        with pytest.raises(SagaLost):
            await sec.wait_succeeded(SAGA_ID, "a")
        with pytest.raises(SagaLost):
            await sec.wait_ended(SAGA_ID)


class RefusingStore(InMemorySecStore):
    """Takes no output of 13."""

    async def create(self, saga: NewSaga) -> SagaLogWriter:
        saga_log = await super().create(saga)
        enqueue = saga_log.enqueue

        def refuse(write: object) -> None:
            if isinstance(write, NodeEvent) and write.data == b"13":
                raise WriteRefused("no 13")
            enqueue(write)  # type: ignore[arg-type]

        saga_log.enqueue = refuse  # type: ignore[method-assign]
        return saga_log


async def test_g5_a_saga_whose_write_is_refused_halts_and_stays_listed() -> None:
    async def thirteen(context: ActionContext[Any]) -> int:
        return 13

    store, log = RefusingStore(), KeptLog()
    bad, one = action("bad", thirteen), action("one")
    async with running(store, alike(bad, one), log=log) as sec:
        await sec.create(SAGA_ID, chain(bad))
        await sec.create(number(1), chain(one))
        status = await sec.wait_ended(SAGA_ID)
        assert isinstance(status.state, SagaRunning)
        assert status.state.waiting_for is not None
        assert "no 13" in status.state.waiting_for
        assert (await sec.wait_ended(number(1))).state == SagaSucceeded()
        assert len(sec.sagas()) == 2


# --- what is pending -------------------------------------------------------------------------------------------------


async def test_a_saga_is_pending_from_its_creation_to_its_end() -> None:
    gate = Gate()
    wait = action("wait", gate.run)
    async with running(InMemorySecStore(), alike(wait)) as sec:
        assert sec.idle
        await sec.create(SAGA_ID, chain(wait))
        (pending,) = sec.pending()
        assert (pending.saga_id, pending.saga_name, pending.recovered, sec.idle) == (SAGA_ID, "chain", False, False)
        gate.open.set()
        await sec.wait_ended(SAGA_ID)
        await wait_all_tasks_blocked()
        assert sec.idle


async def test_a_recovered_saga_is_pending_and_one_that_is_lost_is_not() -> None:
    store, gate = InMemorySecStore(), Gate()
    wait = action("wait", gate.run)
    async with running(store, alike(wait)) as sec:
        await sec.create(SAGA_ID, chain(wait))
    async with running(store, alike(wait)) as sec:
        await sec.recover(SAGA_ID)
        assert [pending.recovered for pending in sec.pending()] == [True]
        await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID)
        await sec.check_claims()
        await wait_all_tasks_blocked()
        assert sec.idle


async def test_a_saga_that_waits_for_code_is_pending() -> None:
    store, gate = InMemorySecStore(), Gate()
    wait = action("wait", gate.run)
    async with running(store, alike(wait)) as sec:
        await sec.create(SAGA_ID, chain(wait))
    async with running(store, alike()) as sec:
        await sec.recover(SAGA_ID)
        assert not sec.idle


async def test_a_saga_that_is_not_admitted_leaves_nothing() -> None:
    def refuse() -> None:
        raise NewSagasRefused("not today")

    store = InMemorySecStore()
    async with running(store, alike(action("one")), admit=refuse) as sec:
        with pytest.raises(NewSagasRefused):
            await sec.create(SAGA_ID, chain(action("one")))
        assert (sec.idle, sec.drain_started(), store.rows) == (True, [], {})
