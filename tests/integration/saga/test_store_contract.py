"""What every SecStore promises (`nexus/saga/store.py`), of each that there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest
import trio
import trio.lowlevel
from saga_lab import OTHER_SEC_ID, SAGA_ID, SEC_ID, KeptLog

from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry
from nexus.saga.action_error import ActionFailed, UndoActionError
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.errors import SagaError, SagaExists, SagaLost, SagaNotFound
from nexus.saga.execution import SagaFailed
from nexus.saga.ids import NodeId, SagaId, SecId
from nexus.saga.log import NodeEvent
from nexus.saga.nodes import ActionNode
from nexus.saga.payload import Payload, decode, encode, to_json_value
from nexus.saga.sec import Sec
from nexus.saga.store import Abandonment, Adoption, NewSaga, NodeAttempt, StateUpdate, StoredState

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from nexus.saga.store import LogWrite, SagaLogWriter, SecStore, StoredSaga

    OpenStore = Callable[[], AbstractAsyncContextManager[SecStore]]

NODE = NodeId(0)
DAG = DagBuilder("demo").append(ActionNode("a", "A", "demo.a")).build({"x": 1})
NEW = NewSaga(SAGA_ID, SEC_ID, "demo", DAG.to_json(), datetime(2026, 1, 2, 3, 4, 5, 678, UTC))

STARTED = NodeEvent.started(SAGA_ID, NODE)
SUCCEEDED = NodeEvent.succeeded(SAGA_ID, NODE, encode({"a": 1}))


def number(value: int) -> SagaId:
    return SagaId(UUID(int=value))


async def write(log: SagaLogWriter, *writes: LogWrite) -> None:
    for one in writes:
        log.enqueue(one)
    await log.durable()


async def reload(store: SecStore) -> StoredSaga:
    return await store.load(await store.claim(SAGA_ID, sec_id=SEC_ID))


async def test_a_new_saga_comes_back(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        assert log.claim.number == 1
        assert (log.claim.saga_id, log.claim.sec_id, log.claim.adopt_generation) == (SAGA_ID, SEC_ID, 1)
    async with open_store() as store:
        stored = await reload(store)
        assert stored.log.claim.number == 2
        assert (stored.state, stored.events, stored.attempts) == (StoredState.RUNNING, (), ())
        assert msgspec.json.decode(stored.dag) == msgspec.json.decode(NEW.dag)


async def test_what_was_written_comes_back(open_store: OpenStore) -> None:
    writes: list[NodeEvent | NodeAttempt | StateUpdate] = [
        STARTED,
        SUCCEEDED,
        NodeEvent.started(SAGA_ID, NodeId(1)),
        NodeAttempt(SAGA_ID, NodeId(1), "action", 1),
        NodeEvent.failed(SAGA_ID, NodeId(1), ActionFailed({"message": "no"})),
        StateUpdate(StoredState.UNWINDING),
        NodeEvent.undo_started(SAGA_ID, NODE),
        NodeAttempt(SAGA_ID, NODE, "undo", 1, encode("away")),
        NodeAttempt(SAGA_ID, NODE, "undo", 2, encode("away")),
        NodeEvent.undo_failed(SAGA_ID, NODE, UndoActionError({"message": "no"})),
    ]
    async with open_store() as store:
        log = await store.create(NEW)
        await write(log, *writes[:4])
        await write(log, *writes[4:])
    async with open_store() as store:
        stored = await reload(store)
        assert [event.kind for event in stored.events] == [one.kind for one in writes if isinstance(one, NodeEvent)]
        assert [event.node_id for event in stored.events] == [0, 0, 1, 1, 0, 0]
        assert stored.events[3].data == ActionFailed({"message": "no"})
        assert stored.events[5].data == UndoActionError({"message": "no"})
        assert sorted(stored.attempts, key=str) == sorted(
            (one for one in writes if isinstance(one, NodeAttempt)), key=str
        )
        assert stored.state is StoredState.UNWINDING


OUTPUTS: list[object] = [None, True, -(2**63), 2**64, "", 'é "\\u0000" \n', [1, [2, {}]], {"b": 1, "a": [None]}]
FLOATS = [1.5, 1e300, 5e-324, 0.1]


async def test_outputs_come_back_as_they_were(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        for index, output in enumerate([*OUTPUTS, *FLOATS]):
            log.enqueue(NodeEvent.succeeded(SAGA_ID, NodeId(index), encode(output)))
        await log.durable()
        data = [Payload(event.data) for event in (await reload(store)).events if isinstance(event.data, bytes)]
        assert [to_json_value(output) for output in data[: len(OUTPUTS)]] == OUTPUTS
        assert [decode(output, float) for output in data[len(OUTPUTS) :]] == FLOATS


async def test_what_nobody_waited_for_is_a_prefix(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        await write(log, STARTED)
        log.enqueue(SUCCEEDED)
        log.enqueue(NodeEvent.started(SAGA_ID, NodeId(1)))
        events = (await reload(store)).events
        assert [event.kind for event in events] == ["started", "succeeded", "started"][: len(events)]


async def test_cancelling_a_wait_does_not_cancel_the_write(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        log.enqueue(STARTED)
        with trio.CancelScope() as scope:
            scope.cancel()
            await log.durable()
        await write(log, SUCCEEDED)
        assert len((await reload(store)).events) == 2


async def test_g4_an_older_claim_writes_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        old = await store.create(NEW)
        refusals: list[SagaError] = []
        old.on_refused(refusals.append)
        await write(old, STARTED)
        stored = await reload(store)
        with pytest.raises(SagaLost, match=r"was claimed again"):
            await write(old, SUCCEEDED)
        assert len(refusals) == 1
        with pytest.raises(SagaLost):
            old.enqueue(SUCCEEDED)
        with pytest.raises(SagaLost):
            await old.durable()
        await write(stored.log, NodeEvent.succeeded(SAGA_ID, NODE, encode("new")))
        assert [event.data for event in (await reload(store)).events] == [None, b'"new"']
        assert len(refusals) == 1
        with pytest.raises(SagaLost):
            await store.load(old.claim)


async def test_claims_rise(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.create(NEW)
        assert [(await store.claim(SAGA_ID, sec_id=SEC_ID)).number for _ in range(3)] == [2, 3, 4]


async def test_who_may_claim(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        with pytest.raises(SagaNotFound):
            await store.claim(number(1), sec_id=SEC_ID)
        with pytest.raises(SagaLost, match=f"is assigned to SEC {SEC_ID}, not to {OTHER_SEC_ID}") as caught:
            await store.claim(SAGA_ID, sec_id=OTHER_SEC_ID)
        assert caught.value.owner == SEC_ID
        await write(log, StateUpdate(StoredState.DONE))
        with pytest.raises(SagaLost, match="is done"):
            await store.claim(SAGA_ID, sec_id=SEC_ID)


async def test_after_done_nothing_is_written(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        await write(log, STARTED, StateUpdate(StoredState.DONE))
        with pytest.raises(SagaLost, match="is done"):
            await write(log, SUCCEEDED)
        assert await store.list_in_progress(SEC_ID, limit=10) == []


async def test_claims_are_checked(open_store: OpenStore) -> None:
    """Superseded, adopted, abandoned, at its end, and in force."""
    async with open_store() as store:
        logs = [await store.create(replace(NEW, saga_id=number(value))) for value in range(5)]
        superseded, adopted, abandoned, ended, in_force = (log.claim for log in logs)
        await store.claim(superseded.saga_id, sec_id=SEC_ID)
        await store.abandon(abandoned, reason="unrecoverable", comment="why")
        await write(logs[3], StateUpdate(StoredState.DONE))
        theirs = await store.create(replace(NEW, saga_id=number(5), sec_id=OTHER_SEC_ID))
        await store.adopt([OTHER_SEC_ID], sec_id=SEC_ID)
        lost = await store.check_claims([superseded, abandoned, ended, in_force, adopted, theirs.claim])
        assert set(lost) == {superseded, abandoned, theirs.claim}
        assert lost[theirs.claim].owner == SEC_ID
        assert await store.check_claims([]) == {}


async def test_adoption(open_store: OpenStore) -> None:
    """What is in progress moves, under a new claim, once; what others hold, or nobody runs any more, stays."""
    third = SecId(UUID(int=0x3))
    async with open_store() as store:
        logs = [await store.create(replace(NEW, saga_id=number(value), sec_id=OTHER_SEC_ID)) for value in range(5)]
        await write(logs[1], StateUpdate(StoredState.UNWINDING))
        await write(logs[2], STARTED, StateUpdate(StoredState.DONE))
        await store.abandon(logs[3].claim, reason="unrecoverable", comment="why")
        own = await store.create(replace(NEW, saga_id=number(6)))
        await store.create(replace(NEW, saga_id=number(7), sec_id=third))
        moved = Adoption((number(0), number(1), number(4)), from_secs=(OTHER_SEC_ID,))
        assert await store.adopt([OTHER_SEC_ID, SEC_ID, SecId(UUID(int=0x4))], sec_id=SEC_ID) == moved
        assert await store.adopt([OTHER_SEC_ID], sec_id=SEC_ID) == Adoption(())
        assert [saga.saga_id for saga in await store.list_in_progress(SEC_ID, limit=10)] == [
            number(value) for value in (0, 1, 4, 6)
        ]
        assert [saga.saga_id for saga in await store.list_in_progress(third, limit=10)] == [number(7)]
        with pytest.raises(SagaLost) as caught:
            await write(logs[0], STARTED)
        assert caught.value.owner == SEC_ID
        claim = await store.claim(number(0), sec_id=SEC_ID)
        assert (claim.number, claim.adopt_generation) == (3, 2)
        await write((await store.load(claim)).log, NodeEvent.started(number(0), NODE))
        await write(own, STARTED)
        with pytest.raises(SagaLost):
            await store.claim(number(0), sec_id=OTHER_SEC_ID)


async def test_orphans(open_store: OpenStore) -> None:
    """What is in progress is given up, with its reason, and lost to whoever held it; nothing else is touched."""
    third = SecId(UUID(int=0x3))
    async with open_store() as store:
        logs = [await store.create(replace(NEW, saga_id=number(value), sec_id=OTHER_SEC_ID)) for value in range(3)]
        await write(logs[1], StateUpdate(StoredState.UNWINDING))
        await write(logs[2], STARTED, StateUpdate(StoredState.DONE))
        own = await store.create(replace(NEW, saga_id=number(6)))
        theirs = await store.create(replace(NEW, saga_id=number(7), sec_id=third))
        given_up = await store.abandon_orphans([OTHER_SEC_ID, SEC_ID], sec_id=SEC_ID, comment="too old")
        assert given_up == Abandonment((number(0), number(1)))
        assert await store.abandon_orphans([OTHER_SEC_ID], sec_id=SEC_ID, comment="too old") == Abandonment(())
        assert await store.list_in_progress(OTHER_SEC_ID, limit=10) == []
        assert await store.adopt([OTHER_SEC_ID], sec_id=SEC_ID) == Adoption(())
        with pytest.raises(SagaLost):
            await write(logs[0], STARTED)
        assert set(await store.check_claims([logs[1].claim, logs[2].claim])) == {logs[1].claim}
        await write(own, STARTED)
        await write(theirs, STARTED)


class Refused(Exception):
    pass


async def test_a_guard_of_adoption_and_of_giving_up(open_store: OpenStore) -> None:
    """What it raises is raised, also where there is nothing to take, and nothing is taken."""

    async def refuse(_: object) -> None:
        raise Refused

    async def agree(_: object) -> None:
        pass

    third = SecId(UUID(int=0x3))
    async with open_store() as store:
        logs = [
            await store.create(replace(NEW, saga_id=number(0))),
            await store.create(replace(NEW, saga_id=number(1))),
        ]
        for sec_id in (SEC_ID, third):
            with pytest.raises(Refused):
                await store.adopt([sec_id], sec_id=OTHER_SEC_ID, guard=refuse)
            with pytest.raises(Refused):
                await store.abandon_orphans([sec_id], sec_id=OTHER_SEC_ID, comment="too old", guard=refuse)
        for log in logs:
            await write(log, NodeEvent.started(log.claim.saga_id, NODE))
        moved = number(0), number(1)
        assert await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID, guard=agree) == Adoption(moved, from_secs=(SEC_ID,))
        given_up = await store.abandon_orphans([OTHER_SEC_ID], sec_id=third, comment="too old", guard=agree)
        assert given_up == Abandonment(moved)


async def test_a_log_that_is_told_of_its_loss(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        refusals: list[SagaError] = []
        log.refuse(SagaLost(SAGA_ID, "is gone"))
        log.refuse(SagaLost(SAGA_ID, "is gone again"))
        log.on_refused(refusals.append)
        assert [str(refusal) for refusal in refusals] == [f"saga {SAGA_ID} is gone"]
        with pytest.raises(SagaLost, match="is gone"):
            await log.durable()
        with pytest.raises(SagaLost, match="is gone"):
            log.enqueue(STARTED)


async def test_abandoned(open_store: OpenStore) -> None:
    async with open_store() as store:
        log = await store.create(NEW)
        stale = log.claim
        claim = await store.claim(SAGA_ID, sec_id=SEC_ID)
        with pytest.raises(SagaLost):
            await store.abandon(stale, reason="unrecoverable", comment="stale")
        await store.abandon(claim, reason="unrecoverable", comment="cannot be replayed")
        assert await store.list_in_progress(SEC_ID, limit=10) == []
        with pytest.raises(SagaLost, match="is abandoned"):
            await store.claim(SAGA_ID, sec_id=SEC_ID)
        with pytest.raises(SagaLost):
            await write(log, STARTED)
        with pytest.raises(SagaLost):
            await store.load(claim)


async def test_the_same_creation_again(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.create(NEW)
        again = await store.create(NEW)
        await write(again, STARTED)
        for other in (
            replace(NEW, time_created=datetime(2026, 1, 2, tzinfo=UTC)),
            replace(NEW, sec_id=OTHER_SEC_ID),
            replace(NEW, dag=DAG.to_json().replace(b'"x":1', b'"x":2')),
        ):
            with pytest.raises(SagaExists):
                await store.create(other)


async def test_the_same_creation_again_after_somebody_recovered_it(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.create(NEW)
        stored = await reload(store)
        again = await store.create(NEW)
        with pytest.raises(SagaLost):
            await write(again, STARTED)
        await write(stored.log, STARTED)


async def test_pages(open_store: OpenStore) -> None:
    async with open_store() as store:
        for value in (4, 2, 5, 1, 3):
            await store.create(replace(NEW, saga_id=number(value)))
        await store.create(replace(NEW, saga_id=number(6), sec_id=OTHER_SEC_ID))
        log = await store.create(replace(NEW, saga_id=number(7)))
        await write(log, StateUpdate(StoredState.UNWINDING))
        first = await store.list_in_progress(SEC_ID, limit=3)
        rest = await store.list_in_progress(SEC_ID, after=first[-1].saga_id, limit=3)
        assert [saga.saga_id for saga in first + rest] == [number(value) for value in (1, 2, 3, 4, 5, 7)]
        assert (rest[-1].name, rest[-1].state) == ("demo", StoredState.UNWINDING)
        assert await store.list_in_progress(SEC_ID, after=number(7), limit=3) == []


async def test_a_saga_runs_dies_and_is_recovered(open_store: OpenStore) -> None:
    """Through the SEC: one node done, one interrupted, then another that fails; the log is told across processes."""
    calls: list[tuple[str, int]] = []
    interrupted = trio.Event()

    def registry(*, last_process: bool) -> ActionRegistry:
        async def act(context: ActionContext[int]) -> str:
            calls.append((context.node_name, context.claim))
            if context.node_name == "b" and not last_process:
                interrupted.set()
                await trio.sleep_forever()
            if context.node_name == "c":
                assert context.lookup("a", str) == "made a"
                raise ActionFailure({"node": "c"})
            return f"made {context.node_name}"

        async def undo(context: ActionContext[int]) -> None:
            assert context.lookup(context.node_name, str) == f"made {context.node_name}"
            calls.append((f"undo {context.node_name}", context.claim))

        return ActionRegistry([Action("t.act", act, undo=undo, params=int)])

    action = registry(last_process=True)["t.act"]
    dag = DagBuilder("t").append(action.node("a")).append(action.node("b")).append(action.node("c")).build(3)

    async with open_store() as store, trio.open_nursery() as nursery:
        sec = Sec(SEC_ID, store=store, registry=registry(last_process=False), log=KeptLog())
        await nursery.start(sec.run)
        await sec.create(SAGA_ID, dag)
        await sec.wait_succeeded(SAGA_ID, "a")
        await interrupted.wait()
        nursery.cancel_scope.cancel()
    async with open_store() as store, trio.open_nursery() as nursery:
        sec = Sec(SEC_ID, store=store, registry=registry(last_process=True), log=KeptLog())
        await nursery.start(sec.run)
        assert [saga.saga_id for saga in await sec.list_in_progress()] == [SAGA_ID]
        await sec.recover(SAGA_ID)
        assert (await sec.wait_ended(SAGA_ID)).state == SagaFailed("c", ActionFailed({"node": "c"}))
        assert await sec.list_in_progress() == []
        nursery.cancel_scope.cancel()
    assert calls == [("a", 1), ("b", 1), ("b", 2), ("c", 2), ("undo b", 2), ("undo a", 2)]
