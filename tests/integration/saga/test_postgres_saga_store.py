"""The Postgres store's own hazards: what is in the tables, connections that fall, commits in doubt, rows in the way."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import pytest
import trio
import trio.testing
from saga_lab import OTHER_SEC_ID, SAGA_ID, SEC_ID, KeptLog, KillAt
from saga_oracle import LogOracle
from saga_shapes import Part, Shape

from nexus.db.connection import Connection
from nexus.db.errors import DatabaseUnavailable
from nexus.db.pool import Pool, Timeouts, open_pool
from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.errors import (
    CorruptLog,
    NewSagasRefused,
    OutcomeUnknown,
    SagaError,
    SagaLost,
    SagaNotFound,
    SecNotRunning,
    StoreUnavailable,
    UnrecoverableSaga,
    WriteRefused,
)
from nexus.saga.execution import SagaFailed, SagaSucceeded
from nexus.saga.ids import NodeId, SagaId, SecId
from nexus.saga.log import NodeEvent
from nexus.saga.nodes import ActionNode
from nexus.saga.payload import Payload, encode
from nexus.saga.postgres import PostgresSecStore, adoption, claims, fence, loading, log_writer
from nexus.saga.postgres.log_writer import PostgresSagaLog
from nexus.saga.sec import Sec
from nexus.saga.status import SagaRunning
from nexus.saga.store import (
    Abandonment,
    Adoption,
    Claim,
    LogWrite,
    NewSaga,
    NodeAttempt,
    StateUpdate,
    StoredSaga,
    StoredState,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nexus.saga.store import Guard, SagaLogWriter

T = TypeVar("T")

DAG = DagBuilder("demo").append(ActionNode("a", "A", "demo.a")).build({"x": 1})
NEW = NewSaga(SAGA_ID, SEC_ID, "demo", DAG.to_json(), datetime(2026, 1, 2, tzinfo=UTC))

A = Part.ACTION
SHAPE = Shape(((A,), (A, A), (A,)))

NODE = NodeId(0)
STARTED = NodeEvent.started(SAGA_ID, NODE)
SUCCEEDED = NodeEvent.succeeded(SAGA_ID, NODE, encode("made"))
UNSTORABLE = Payload(b'"\\u0000"')
"""Such as `encode` refuses, before it comes so far."""


def number(value: int) -> SagaId:
    return SagaId(UUID(int=value))


class FlakyPool:
    """Loses connections before the commit (`lose_before` times, or by chance) or after it (`lose_after`)."""

    def __init__(self, pool: Pool, *, random: Random | None = None, rate: float = 0.0) -> None:
        self._pool = pool
        self._random = random or Random(0)
        self._rate = rate
        self.lose_before = 0
        self.lose_after = 0
        self.lost: set[str] = set()

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        if self.lose_before or self._random.random() < self._rate:
            self.lose_before = max(0, self.lose_before - 1)
            self.lost.add("before")
            raise DatabaseUnavailable("lost before the commit")
        result = await self._pool.transaction(fn)
        if self.lose_after or self._random.random() < self._rate:
            self.lose_after = max(0, self.lose_after - 1)
            self.lost.add("after")
            raise DatabaseUnavailable("lost after the commit")
        return result


@asynccontextmanager
async def serving(
    pool: Pool | FlakyPool, *, log: KeptLog | None = None, creation_guard: Guard | None = None
) -> AsyncIterator[PostgresSecStore]:
    store = PostgresSecStore(cast("Pool", pool), log=log or KeptLog(), creation_guard=creation_guard)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        with trio.fail_after(60):
            yield store
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(
    store: PostgresSecStore, registry: ActionRegistry, *, sec_id: SecId = SEC_ID, log: KeptLog | None = None
) -> AsyncIterator[Sec]:
    async with trio.open_nursery() as nursery:
        sec = Sec(sec_id, store=store, registry=registry, log=log or KeptLog())
        await nursery.start(sec.run)
        with trio.fail_after(60):
            yield sec
        nursery.cancel_scope.cancel()


async def rows(pool: Pool, query: str, *params: object) -> list[tuple[object, ...]]:
    async with pool.connection() as connection:
        return list(await (await connection.execute(query, params)).fetchall())


async def events_of(pool: Pool, saga_id: SagaId) -> list[tuple[int, str]]:
    found = await rows(
        pool, "SELECT node_id, event_type FROM saga_node_event WHERE saga_id = %s ORDER BY log_index", saga_id
    )
    return [(int(str(node)), str(kind)) for node, kind in found]


async def end_of_log(pool: Pool, saga_id: SagaId, shape: Shape = SHAPE) -> str | None:
    """How the saga has ended, from a log in which no event is missing or there twice."""
    indices = await rows(pool, "SELECT log_index FROM saga_node_event WHERE saga_id = %s ORDER BY log_index", saga_id)
    assert [row[0] for row in indices] == list(range(len(indices)))
    return LogOracle(shape).read(await events_of(pool, saga_id)).end()


async def check_ended(pool: Pool, sec: Sec, saga_id: SagaId) -> None:
    """What the SEC shows is what the database holds."""
    state = (await sec.wait_ended(saga_id)).state
    assert await end_of_log(pool, saga_id) == ("succeeded" if isinstance(state, SagaSucceeded) else "failed")
    assert await rows(pool, "SELECT saga_state FROM saga WHERE id = %s", saga_id) == [("done",)]


def sometimes_failing(random: Random, *, rate: float) -> ActionRegistry:
    """The actions of `SHAPE`. Undo actions do not fail."""

    async def act(context: ActionContext[int]) -> str:
        await trio.lowlevel.checkpoint()
        if random.random() < rate:
            raise ActionFailure("no")
        return "made"

    async def undo(context: ActionContext[int]) -> None:
        assert context.lookup(context.node_name, str) == "made"

    return ActionRegistry([Action("lab.act", act, undo=undo, params=int)])


async def create_in_the_end(sec: Sec, saga_id: SagaId) -> None:
    """As a caller does who is told to try again."""
    while True:
        try:
            await sec.create(saga_id, SHAPE.dag())
        except OutcomeUnknown:
            raise
        except StoreUnavailable:
            continue
        return


# --- what is in the tables -------------------------------------------------------------------------------------------


async def test_the_history_of_a_saga_is_told_across_processes(database_url: str) -> None:
    """Every claim with its reason, every event with the claim it was written under, every call that was interrupted."""
    entered = trio.Event()

    async def act(context: ActionContext[int]) -> str:
        if context.claim == 1 and context.node_name == "b":
            entered.set()
            await trio.sleep_forever()
        if context.node_name == "c":
            raise ActionFailure("no")
        return "made"

    attempts = 0

    async def undo(context: ActionContext[int]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ActionFailure("away", retryable=True)

    action = Action("t.act", act, undo=undo, params=int)
    dag = DagBuilder("t").append(action.node("a")).append(action.node("b")).append(action.node("c")).build(0)
    async with open_pool(database_url, log=KeptLog()) as pool:
        async with serving(pool) as store, running(store, ActionRegistry([action])) as sec:
            await sec.create(SAGA_ID, dag)
            await entered.wait()
        async with serving(pool) as store, running(store, ActionRegistry([action])) as sec:
            await sec.recover(SAGA_ID)
            assert isinstance((await sec.wait_ended(SAGA_ID)).state, SagaFailed)

        assert await rows(pool, "SELECT claim, sec_id, adopt_generation, reason FROM saga_claim ORDER BY claim") == [
            (1, SEC_ID, 1, "created"),
            (2, SEC_ID, 1, "recovered"),
        ]
        assert await rows(
            pool, "SELECT node_id, kind, attempt, claim, error FROM saga_node_attempt ORDER BY claim, node_id, kind"
        ) == [(1, "action", 1, 2, None), (1, "undo", 1, 2, {"message": "away"})]
        assert await rows(
            pool, "SELECT claim, count(*), min(log_index), max(log_index) FROM saga_node_event GROUP BY 1 ORDER BY 1"
        ) == [(1, 5, 0, 4), (2, 9, 5, 13)]
        assert await rows(pool, "SELECT creator, current_sec, claim, saga_state, name FROM saga") == [
            (SEC_ID, SEC_ID, 2, "done", "t")
        ]
        assert await rows(pool, "SELECT data FROM saga_node_event WHERE event_type = 'failed'") == [
            ({"ActionFailed": {"source_error": "no"}},)
        ]


async def test_abandoning_raises_the_claim(database_url: str) -> None:
    async with open_pool(database_url, log=KeptLog()) as pool, serving(pool) as store:
        await store.create(NEW)
        claim = await store.claim(SAGA_ID, sec_id=SEC_ID)
        await store.abandon(claim, reason="unrecoverable", comment="why")
        assert await rows(
            pool, "SELECT saga_state, claim, abandon_reason, abandon_comment, abandon_time IS NOT NULL FROM saga"
        ) == [("abandoned", 3, "unrecoverable", "why", True)]
        assert (await rows(pool, "SELECT claim, reason FROM saga_claim ORDER BY claim"))[-1] == (3, "abandoned")


async def test_unreadable_rows_are_unrecoverable_not_transient(database_url: str) -> None:
    async def act(context: ActionContext[dict[str, int]]) -> None:
        pass

    action = Action("demo.a", act, params=dict[str, int])
    async with open_pool(database_url, log=KeptLog()) as pool, serving(pool) as store:
        log = await store.create(NEW)
        log.enqueue(STARTED)
        await log.durable()
        await rows(pool, "UPDATE saga_node_event SET data = '1' RETURNING 1")
        async with running(store, ActionRegistry([action])) as sec:
            with pytest.raises(UnrecoverableSaga, match="started with data"):
                await sec.recover(SAGA_ID)


# --- commits in doubt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_no_event_is_lost_or_doubled_when_commits_are_in_doubt(conninfo: str, seed: int) -> None:
    random, log = Random(seed), KeptLog()
    saga_ids = [number(value) for value in range(10)]
    async with open_pool(conninfo, log=KeptLog()) as pool:
        flaky = FlakyPool(pool, random=random, rate=0.4)
        flaky.lose_before = flaky.lose_after = 1
        async with serving(flaky, log=log) as store, running(store, sometimes_failing(random, rate=0.1)) as sec:
            async with trio.open_nursery() as nursery:
                for saga_id in saga_ids:
                    nursery.start_soon(create_in_the_end, sec, saga_id)
            for saga_id in saga_ids:
                await check_ended(pool, sec, saga_id)
        assert flaky.lost == {"before", "after"}
        assert await rows(pool, "SELECT count(*) FROM saga_claim") == [(len(saga_ids),)]
    assert "saga logs cannot be written for now; trying again" in [line[1] for line in log.lines]


async def test_creation_tells_whether_it_can_have_happened(database_url: str) -> None:
    async with open_pool(database_url, log=KeptLog()) as pool:
        flaky = FlakyPool(pool)
        async with serving(flaky) as store:
            flaky.lose_before = 1
            with pytest.raises(StoreUnavailable) as caught:
                await store.create(NEW)
            assert not isinstance(caught.value, OutcomeUnknown)
            assert await rows(pool, "SELECT id FROM saga") == []
            flaky.lose_after = 1
            with pytest.raises(OutcomeUnknown):
                await store.create(NEW)
            assert await rows(pool, "SELECT id FROM saga") == [(SAGA_ID,)]
            log = await store.create(NEW)  # again, as it was
            log.enqueue(STARTED)
            await log.durable()
        assert await rows(pool, "SELECT count(*) FROM saga_claim") == [(1,)]


async def test_g5_events_in_doubt_are_written_again_and_are_there_once(conninfo: str) -> None:
    async with open_pool(conninfo, log=KeptLog()) as pool:
        flaky = FlakyPool(pool)
        async with serving(flaky) as store:
            log = await store.create(NEW)
            log.enqueue(STARTED)
            log.enqueue(SUCCEEDED)
            flaky.lose_after = 2
            await log.durable()
        assert await events_of(pool, SAGA_ID) == [(0, "started"), (0, "succeeded")]


async def test_an_end_that_was_committed_in_doubt_is_not_taken_for_a_lost_claim(conninfo: str) -> None:
    async with open_pool(conninfo, log=KeptLog()) as pool:
        flaky = FlakyPool(pool)
        async with serving(flaky) as store:
            log = await store.create(NEW)
            for write in (STARTED, SUCCEEDED, StateUpdate(StoredState.DONE)):
                log.enqueue(write)
            flaky.lose_after = 2
            await log.durable()
        assert await events_of(pool, SAGA_ID) == [(0, "started"), (0, "succeeded")]


async def test_claim_and_abandon_in_doubt(database_url: str) -> None:
    async with open_pool(database_url, log=KeptLog()) as pool:
        flaky = FlakyPool(pool)
        async with serving(flaky) as store:
            await store.create(NEW)
            flaky.lose_after = 1
            with pytest.raises(OutcomeUnknown):
                await store.claim(SAGA_ID, sec_id=SEC_ID)
            claim = await store.claim(SAGA_ID, sec_id=SEC_ID)
            assert claim.number == 3  # two claims for one recovery do no harm
            flaky.lose_after = 1
            with pytest.raises(OutcomeUnknown):
                await store.abandon(claim, reason="unrecoverable", comment="why")
            await store.abandon(claim, reason="unrecoverable", comment="why")
        assert (await rows(pool, "SELECT claim, reason FROM saga_claim ORDER BY claim"))[2:] == [
            (3, "recovered"),
            (4, "abandoned"),
        ]


# --- connections that fall -------------------------------------------------------------------------------------------


async def test_sagas_outlive_their_connections(conninfo: str) -> None:
    """Every connection is cut, again and again, while fifty sagas run."""
    random = Random(0)
    saga_ids = [number(value) for value in range(50)]
    async with (
        open_pool(conninfo, log=KeptLog()) as pool,
        serving(pool) as store,
        running(store, sometimes_failing(random, rate=0.1)) as sec,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_connections, conninfo, 10)
            async with trio.open_nursery() as creating:
                for saga_id in saga_ids:
                    creating.start_soon(create_in_the_end, sec, saga_id)
            for saga_id in saga_ids:
                await sec.wait_ended(saga_id)
            nursery.cancel_scope.cancel()
        for saga_id in saga_ids:
            await check_ended(pool, sec, saga_id)


async def cut_connections(conninfo: str, times: int) -> None:
    async with open_pool(conninfo, size=1, log=KeptLog()) as pool:
        for _ in range(times):
            await rows(
                pool,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )


async def test_killed_in_the_middle_and_recovered(conninfo: str) -> None:
    """SECs that die after so many of their steps, on real connections; the last one is let live."""
    random = Random(1)
    saga_ids = [number(value) for value in range(8)]
    registry = sometimes_failing(random, rate=0.2)
    async with open_pool(conninfo, log=KeptLog()) as pool:
        async with serving(pool) as store, running(store, registry) as sec:
            for saga_id in saga_ids:
                await sec.create(saga_id, SHAPE.dag())
        for step in range(20, 220, 20):
            with trio.CancelScope() as scope:
                async with serving(pool) as store, running(store, registry) as sec:
                    instrument = KillAt(step, scope)
                    trio.lowlevel.add_instrument(instrument)
                    try:
                        with suppress(SecNotRunning):  # what is said while it is being killed
                            await recover_all(sec)
                    finally:
                        trio.lowlevel.remove_instrument(instrument)
        async with serving(pool) as store, running(store, registry) as sec:
            await recover_all(sec)
            assert await sec.list_in_progress() == []
        for saga_id in saga_ids:
            assert await end_of_log(pool, saga_id) in ("succeeded", "failed")


async def recover_all(sec: Sec) -> None:
    saga_ids = [saga.saga_id for saga in await sec.list_in_progress()]
    for saga_id in saga_ids:
        await sec.recover(saga_id)
    for saga_id in saga_ids:
        await sec.wait_ended(saga_id)


# --- two for one saga ------------------------------------------------------------------------------------------------


async def test_g4_a_claim_being_taken_is_waited_for_and_then_obeyed(conninfo: str) -> None:
    """The stale event arrives while the new claim is not committed yet: a conditional INSERT would let it pass.

    No other saga waits for the one whose row is locked.
    """
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        log = await store.create(NEW)
        log.enqueue(STARTED)
        await log.durable()
        other = await store.create(replace(NEW, saga_id=number(1)))
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("UPDATE saga SET claim = claim + 1 WHERE id = %s", (SAGA_ID,))
            log.enqueue(SUCCEEDED)
            for write in (NodeEvent.started(number(1), NODE), NodeEvent.succeeded(number(1), NODE, encode("made"))):
                other.enqueue(write)
                await other.durable()
        with pytest.raises(SagaLost, match="its claim is 2, not 1"):
            await log.durable()
        assert await events_of(pool, SAGA_ID) == [(0, "started")]


async def test_rows_of_a_saga_that_was_locked_go_through_in_their_order(conninfo: str) -> None:
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        log = await store.create(NEW)
        other = await store.create(replace(NEW, saga_id=number(1)))
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM saga WHERE id = %s FOR UPDATE", (SAGA_ID,))
            log.enqueue(STARTED)
            other.enqueue(NodeEvent.started(number(1), NODE))
            await other.durable()
            log.enqueue(SUCCEEDED)
            other.enqueue(NodeEvent.succeeded(number(1), NODE, encode("made")))
            await other.durable()
            log.enqueue(NodeEvent.started(SAGA_ID, NodeId(1)))
        await log.durable()
        assert await events_of(pool, SAGA_ID) == [(0, "started"), (0, "succeeded"), (1, "started")]


async def test_g4_two_secs_race_for_the_same_sagas(conninfo: str) -> None:
    """Both run with one SEC id and recover everything at the same time: each saga ends once, in a log that is whole."""
    saga_ids = [number(value) for value in range(12)]
    registry = sometimes_failing(Random(2), rate=0.1)
    async with open_pool(conninfo, log=KeptLog()) as pool:
        async with serving(pool) as store:
            for saga_id in saga_ids:
                await store.create(replace(NEW, saga_id=saga_id, name="lab", dag=SHAPE.dag().to_json()))
        ended: list[SagaId] = []
        async with (
            serving(pool) as one,
            serving(pool) as two,
            running(one, registry) as a,
            running(two, registry) as b,
            trio.open_nursery() as nursery,
        ):
            for saga_id in saga_ids:
                nursery.start_soon(run_unless_lost, a, saga_id, ended)
                nursery.start_soon(run_unless_lost, b, saga_id, ended)
        assert sorted(ended) == saga_ids
        for saga_id in saga_ids:
            assert await end_of_log(pool, saga_id) in ("succeeded", "failed")


async def run_unless_lost(sec: Sec, saga_id: SagaId, ended: list[SagaId]) -> None:
    try:
        await sec.recover(saga_id)
        await sec.wait_ended(saga_id)
    except (SagaLost, SagaNotFound):
        return
    ended.append(saga_id)


# --- adoption --------------------------------------------------------------------------------------------------------


async def test_g4_adopted_from_a_sec_that_is_still_writing(conninfo: str) -> None:
    """In the middle of its sagas, some of which only wait: no event of an older claim is in any log afterwards."""
    saga_ids = [number(value) for value in range(20)]
    parked = [number(value) for value in range(100, 105)]
    gate = trio.Event()

    async def act(context: ActionContext[int]) -> str:
        if context.saga_id in parked and context.claim == 1:
            await gate.wait()
        await trio.lowlevel.checkpoint()
        return "made"

    registry = ActionRegistry([Action("lab.act", act, params=int)])
    async with open_pool(conninfo, log=KeptLog()) as pool:
        async with serving(pool) as theirs, serving(pool) as ours, running(theirs, registry) as stale:
            async with trio.open_nursery() as nursery:
                for saga_id in saga_ids + parked:
                    nursery.start_soon(stale.create, saga_id, SHAPE.dag())
            adopted = await ours.adopt([SEC_ID], sec_id=OTHER_SEC_ID)
            at_adoption = await counts_of_events(pool)
            assert set(parked) <= set(adopted.moved)
            assert adopted.not_moved == ()
            await stale.check_claims()
            for status in stale.sagas():
                with suppress(SagaLost, SagaNotFound):
                    await stale.wait_ended(status.saga_id)
            after = await counts_of_events(pool)
            assert all(after[saga_id] == at_adoption[saga_id] for saga_id in adopted.moved if saga_id in after)
            assert not {status.saga_id for status in stale.sagas()} & set(adopted.moved)
            assert {lost.saga_id for lost in stale.drain_lost()} == set(adopted.moved)
            async with running(ours, registry, sec_id=OTHER_SEC_ID) as sec:
                assert sorted(saga.saga_id for saga in await sec.list_in_progress()) == list(adopted.moved)
                for saga_id in adopted.moved:
                    await sec.recover(saga_id)
                for saga_id in adopted.moved:
                    assert (await sec.wait_ended(saga_id)).state == SagaSucceeded()
            for saga_id in saga_ids + parked:
                assert await end_of_log(pool, saga_id) == "succeeded"
        history = await rows(pool, "SELECT saga_id, claim, adopt_generation, reason FROM saga_claim WHERE claim > 1")
        assert sorted(history) == sorted(
            claim for moved in adopted.moved for claim in ((moved, 2, 2, "adopted"), (moved, 3, 2, "recovered"))
        )


async def counts_of_events(pool: Pool) -> dict[object, object]:
    return {row[0]: row[1] for row in await rows(pool, "SELECT saga_id, count(*) FROM saga_node_event GROUP BY 1")}


async def test_adoption_passes_over_what_is_locked_and_says_so(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "PATIENCE_S", 0.1)
    monkeypatch.setattr(adoption, "WAIT_FOR_A_LOCK", "SET LOCAL lock_timeout = '20ms'")
    monkeypatch.setattr(adoption, "BATCH", 3)
    saga_ids = [number(value) for value in range(10)]
    locked = number(4), number(8)
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        await created(store, saga_ids)
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM saga WHERE id = ANY(%s) FOR UPDATE", (list(locked),))
            adopted = await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID)
        assert adopted.not_moved == locked
        assert set(adopted.moved) == set(saga_ids) - set(locked)
        assert (await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID)).moved == locked
        assert await rows(pool, "SELECT count(*) FROM saga_claim WHERE reason = 'adopted'") == [(10,)]


async def test_adoption_waits_for_what_a_stopped_process_has_locked(conninfo: str) -> None:
    """Until the server ends its transaction: then everything has moved."""
    saga_ids = [number(value) for value in range(10)]
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        await created(store, saga_ids)
        stopped = await Connection.connect(conninfo)
        await stopped.execute("SET transaction_timeout = '100ms'")
        await stopped.execute("BEGIN")
        await fence.lock_free_sagas(stopped, saga_ids[:7])
        assert await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID) == Adoption(tuple(saga_ids), from_secs=(SEC_ID,))
        await stopped.close()


class NoMore(Exception):
    pass


@pytest.mark.parametrize("abandons", [False, True], ids=["adopted", "abandoned"])
async def test_sagas_are_taken_only_as_long_as_the_guard_agrees(
    conninfo: str, abandons: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked in the transaction that takes them. What was taken before stays taken."""
    monkeypatch.setattr(adoption, "BATCH", 3)

    async def guard(connection: Connection) -> None:
        cursor = await connection.execute("SELECT count(*) FROM saga_claim WHERE claim = 2")
        if await cursor.fetchone() != (0,):
            raise NoMore

    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        await created(store, [number(value) for value in range(10)])
        take = partial(store.abandon_orphans, comment="too old") if abandons else store.adopt
        with pytest.raises(NoMore):
            await take([SEC_ID], sec_id=OTHER_SEC_ID, guard=guard)
        left = await rows(pool, "SELECT id FROM saga WHERE claim = 1 AND current_sec = %s ORDER BY id", SEC_ID)
        assert left == [(number(value),) for value in range(3, 10)]


async def test_adoption_in_doubt(conninfo: str) -> None:
    """Each saga moves once, and is reported, though the answer to a commit was lost."""
    async with open_pool(conninfo, log=KeptLog()) as pool:
        flaky = RetryingPool(pool)
        async with serving(flaky) as store:
            await created(store, [number(1), number(2)])
            flaky.doubts = 1
            moved = Adoption((number(1), number(2)), from_secs=(SEC_ID,))
            assert await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID) == moved
        assert flaky.doubts == 0
        assert await rows(pool, "SELECT claim, adopt_generation FROM saga") == [(2, 2), (2, 2)]
        assert await rows(pool, "SELECT count(*) FROM saga_claim WHERE reason = 'adopted'") == [(2,)]


async def test_orphans_in_doubt(conninfo: str) -> None:
    """The same of giving up, and the reason is in the database."""
    async with open_pool(conninfo, log=KeptLog()) as pool:
        flaky = RetryingPool(pool)
        async with serving(flaky) as store:
            await created(store, [number(1), number(2)])
            flaky.doubts = 1
            given_up = await store.abandon_orphans([SEC_ID], sec_id=OTHER_SEC_ID, comment="too old")
            assert given_up == Abandonment((number(1), number(2)))
        assert flaky.doubts == 0
        assert (
            await rows(pool, "SELECT saga_state, claim, abandon_reason, abandon_comment FROM saga")
            == [("abandoned", 2, "orphaned", "too old")] * 2
        )
        assert await rows(pool, "SELECT sec_id FROM saga_claim WHERE reason = 'abandoned'") == [(OTHER_SEC_ID,)] * 2


class RetryingPool(FlakyPool):
    """Runs a transaction that has written twice, as the pool does when its connection falls during the commit."""

    doubts = 0

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        async def watched(connection: Connection) -> tuple[T, bool]:
            result = await fn(connection)
            wrote = await (await connection.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")).fetchone()
            return result, wrote == (True,)

        result, wrote = await self._pool.transaction(watched)
        if wrote and self.doubts:
            self.doubts -= 1
            result, _ = await self._pool.transaction(watched)
        return result


# --- many at once ----------------------------------------------------------------------------------------------------


class CountingPool(FlakyPool):
    """Counts transactions, and holds them up at the gate."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.transactions = 0
        self.gate = trio.Event()

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        await self.gate.wait()
        self.transactions += 1
        return await super().transaction(fn)


async def created(store: PostgresSecStore, saga_ids: Sequence[SagaId]) -> list[SagaLogWriter]:
    return [await store.create(replace(NEW, saga_id=saga_id)) for saga_id in saga_ids]


async def test_whatever_is_queued_shares_a_transaction(conninfo: str) -> None:
    async with open_pool(conninfo, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        async with serving(counting) as store:
            async with trio.open_nursery() as nursery:
                for value in range(50):
                    nursery.start_soon(store.create, replace(NEW, saga_id=number(value)))
                await trio.testing.wait_all_tasks_blocked()
                counting.gate.set()
            assert counting.transactions <= 2  # what had come when the writer woke up, and the rest
            assert await rows(pool, "SELECT count(*) FROM saga_claim WHERE reason = 'created'") == [(50,)]


async def test_more_rows_than_go_into_one_transaction(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "MAX_ROWS", 7)
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        logs = await created(store, [number(value) for value in range(5)])
        for index in range(10):
            for log in logs:
                log.enqueue(NodeEvent.started(log.claim.saga_id, NodeId(index)))
        for log in logs:
            await log.durable()
            assert await events_of(pool, log.claim.saga_id) == [(index, "started") for index in range(10)]


SLOW_EVENTS = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON saga_node_event FOR EACH ROW EXECUTE FUNCTION slow()
"""


async def test_rows_that_take_too_long_together_are_written_in_parts(database_url: str) -> None:
    """The server ends their transaction each time, and none of them is refused for that."""
    saga_ids = [number(value) for value in range(2)]
    async with open_pool(database_url, log=KeptLog()) as pool:
        async with serving(pool) as store:
            taken = [log.claim for log in await created(store, saga_ids)]
        async with pool.connection() as connection:
            await connection.execute(SLOW_EVENTS)
        hasty = f"{database_url}?options=-c%20transaction_timeout%3D500ms"
        async with (
            open_pool(hasty, log=KeptLog(), timeouts=Timeouts(retry_s=0)) as hasty_pool,
            serving(hasty_pool) as store,
        ):
            logs = [PostgresSagaLog(store._writer, claim, next_index=0) for claim in taken]
            for log in logs:
                for index in range(4):
                    log.enqueue(NodeEvent.started(log.claim.saga_id, NodeId(index)))
            for log in logs:
                await log.durable()
        for saga_id in saga_ids:
            assert await events_of(pool, saga_id) == [(index, "started") for index in range(4)]


@pytest.mark.parametrize("seed", range(4))
async def test_a_row_that_is_refused_takes_along_only_what_follows_in_its_saga(conninfo: str, seed: int) -> None:
    """Poison in some sagas, at a random place, among many that share a transaction, while commits are in doubt."""
    random = Random(seed)
    saga_ids = [number(value) for value in range(12)]
    poisoned = {saga_id: random.randrange(6) for saga_id in random.sample(saga_ids, 3)}
    async with open_pool(conninfo, log=KeptLog()) as pool:
        flaky = FlakyPool(pool, random=random)
        async with serving(flaky) as store:
            logs = await created(store, saga_ids)
            flaky._rate = 0.3
            refused: dict[SagaId, SagaError] = {}
            for log in logs:
                log.on_refused(partial(refused.__setitem__, log.claim.saga_id))
            for index in range(6):
                for log in random.sample(logs, len(logs)):
                    saga_id = log.claim.saga_id
                    poison = poisoned.get(saga_id) == index
                    output = UNSTORABLE if poison else encode(index)
                    log.enqueue(NodeEvent.succeeded(saga_id, NodeId(index), output))
            for log in logs:
                with pytest.raises(WriteRefused) if log.claim.saga_id in poisoned else nullcontext():
                    await log.durable()
        assert refused.keys() == poisoned.keys()
        for saga_id in saga_ids:
            expected = poisoned.get(saga_id, 6)
            assert await events_of(pool, saga_id) == [(index, "succeeded") for index in range(expected)]


async def test_a_claim_that_is_lost_in_a_batch_loses_no_other(conninfo: str) -> None:
    saga_ids = [number(value) for value in range(10)]
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        logs = await created(store, saga_ids)
        for saga_id in saga_ids[::2]:
            await store.claim(saga_id, sec_id=SEC_ID)
        for log in logs:
            log.enqueue(NodeEvent.started(log.claim.saga_id, NODE))
        for value, log in enumerate(logs):
            with nullcontext() if value % 2 else pytest.raises(SagaLost):
                await log.durable()
            assert await events_of(pool, log.claim.saga_id) == ([(0, "started")] if value % 2 else [])


async def test_claims_asked_for_together_share_a_transaction(conninfo: str) -> None:
    """One saga is twice among them, one locked, one not there, one another SEC's; one who asked goes away."""
    saga_ids = [number(value) for value in range(20)]
    async with open_pool(conninfo, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        counting.gate.set()
        async with serving(counting) as store:
            await created(store, saga_ids)
            await store.create(replace(NEW, saga_id=number(50), sec_id=OTHER_SEC_ID))
            counting.gate, counting.transactions = trio.Event(), 0
            taken: list[tuple[SagaId, int]] = []

            async def claim(saga_id: SagaId) -> None:
                taken.append((saga_id, (await store.claim(saga_id, sec_id=SEC_ID)).number))

            async def claim_in_vain(saga_id: SagaId, error: type[SagaError]) -> None:
                with pytest.raises(error):
                    await store.claim(saga_id, sec_id=SEC_ID)

            async with trio.open_nursery() as nursery:
                impatient = trio.CancelScope()
                nursery.start_soon(cancelled_with, impatient, partial(claim, number(0)))
                await trio.testing.wait_all_tasks_blocked()
                for saga_id in saga_ids:
                    nursery.start_soon(claim, saga_id)
                nursery.start_soon(claim, number(1))
                nursery.start_soon(claim_in_vain, number(50), SagaLost)
                nursery.start_soon(claim_in_vain, number(60), SagaNotFound)
                await trio.testing.wait_all_tasks_blocked()
                async with pool.connection() as connection, connection.transaction():
                    await connection.execute("SELECT 1 FROM saga WHERE id = %s FOR UPDATE", (number(3),))
                    impatient.cancel()
                    counting.gate.set()
                    while len(taken) < len(saga_ids):
                        await trio.lowlevel.checkpoint()
                    assert number(3) not in [saga_id for saga_id, _ in taken]
        assert counting.transactions <= 4
        assert sorted(taken) == sorted([(saga_id, 2) for saga_id in saga_ids] + [(number(1), 3)])
        assert await rows(pool, "SELECT count(*) FROM saga_claim WHERE reason = 'recovered'") == [(21,)]


class CrowdedPool(FlakyPool):
    """Counts the transactions that are under way at the same time."""

    under_way = 0
    most_under_way = 0

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await super().transaction(fn)
        finally:
            self.under_way -= 1


async def test_claims_of_locked_sagas_leave_connections_to_the_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_S", 0.2)
    saga_ids = [number(value) for value in range(10)]
    async with open_pool(database_url, log=KeptLog()) as pool:
        crowded = CrowdedPool(pool)
        async with serving(crowded) as store:
            await created(store, saga_ids)

            async def claim_in_vain(saga_id: SagaId) -> None:
                with pytest.raises(StoreUnavailable, match="is locked by somebody else"):
                    await store.claim(saga_id, sec_id=SEC_ID)

            async with pool.connection() as connection, connection.transaction():
                await connection.execute("SELECT 1 FROM saga FOR UPDATE")
                async with trio.open_nursery() as nursery:
                    for saga_id in saga_ids:
                        nursery.start_soon(claim_in_vain, saga_id)
            assert crowded.most_under_way == 1
            assert [(await store.claim(saga_id, sec_id=SEC_ID)).number for saga_id in saga_ids] == [2] * 10


async def test_sagas_loaded_together_share_a_transaction(conninfo: str) -> None:
    """One claim among them is lost, one saga's log is corrupt; one who asked goes away."""
    async with open_pool(conninfo, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        counting.gate.set()
        async with serving(counting) as store:
            logs = await created(store, [number(value) for value in range(20)])
            for log in logs:
                for node_id in range(int(log.claim.saga_id) % 3):
                    log.enqueue(NodeEvent.started(log.claim.saga_id, NodeId(node_id)))
                await log.durable()
            claims = [await store.claim(log.claim.saga_id, sec_id=SEC_ID) for log in logs]
            lost, corrupt = claims[7], claims[8]
            await store.claim(lost.saga_id, sec_id=SEC_ID)
            async with pool.connection() as connection:
                await connection.execute("UPDATE saga_node_event SET data = '1' WHERE saga_id = %s", (corrupt.saga_id,))
            counting.gate, counting.transactions = trio.Event(), 0
            loaded: dict[Claim, int] = {}
            errors: dict[Claim, type[SagaError]] = {}

            async def load(claim: Claim) -> None:
                try:
                    saga = await store.load(claim)
                except SagaError as error:
                    errors[claim] = type(error)
                else:
                    assert saga.log.claim == claim
                    assert [event.saga_id for event in saga.events] == [claim.saga_id] * len(saga.events)
                    loaded[claim] = len(saga.events)

            async with trio.open_nursery() as nursery:
                impatient = trio.CancelScope()
                nursery.start_soon(cancelled_with, impatient, partial(load, claims[0]))
                await trio.testing.wait_all_tasks_blocked()
                for claim in claims:
                    nursery.start_soon(load, claim)
                await trio.testing.wait_all_tasks_blocked()
                impatient.cancel()
                counting.gate.set()
        assert counting.transactions == 1
        assert errors == {lost: SagaLost, corrupt: CorruptLog}
        assert loaded == {claim: int(claim.saga_id) % 3 for claim in claims if claim not in errors}


async def test_large_sagas_are_loaded_in_parts(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be they compressed or not, each larger than half of what one transaction is to read."""
    monkeypatch.setattr(loading, "MAX_BYTES", 10_000)
    outputs = [encode("x" * 9_000), encode(Random(0).randbytes(3_000).hex())] * 3
    async with open_pool(database_url, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        counting.gate.set()
        async with serving(counting) as store:
            logs = await created(store, [number(value) for value in range(6)])
            for log, output in zip(logs, outputs, strict=True):
                log.enqueue(NodeEvent.succeeded(log.claim.saga_id, NODE, output))
                await log.durable()
            counting.transactions = 0
            loaded = await loading.load_sagas(store._transact, [log.claim for log in logs], writer=store._writer)
            assert [saga.events[0].data for saga in loaded if isinstance(saga, StoredSaga)] == outputs
            assert counting.transactions == 6


class Hasty:
    """Transactions that the server ends after half a second. Those take longer whose arguments `dawdles` says so of."""

    def __init__(self, store: PostgresSecStore, dawdles: Callable[[dict[str, Any]], bool]) -> None:
        self._store = store
        self._dawdles = dawdles

    async def __call__(self, fn: Callable[[Connection], Awaitable[T]], /) -> T:
        async def run(connection: Connection) -> T:
            if self._dawdles(getattr(fn, "keywords", {})):
                await connection.execute("SELECT pg_sleep(30)")
            return await fn(connection)

        return await self._store._transact(run)


@asynccontextmanager
async def hasty(
    database_url: str, store: PostgresSecStore, dawdles: Callable[[dict[str, Any]], bool]
) -> AsyncIterator[Hasty]:
    url = f"{database_url}?options=-c%20transaction_timeout%3D500ms"
    async with open_pool(url, log=KeptLog(), timeouts=Timeouts(retry_s=0)) as pool:
        store._pool = pool
        yield Hasty(store, dawdles)


async def test_a_saga_that_takes_too_long_fails_no_other(database_url: str) -> None:
    """Not even page by page is it read in time."""
    async with open_pool(database_url, log=KeptLog()) as pool, serving(pool) as store:
        taken = [log.claim for log in await created(store, [number(value) for value in range(6)])]

        def dawdles(load: dict[str, Any]) -> bool:
            return taken[3] in load.get("claims", [load.get("claim")])

        async with hasty(database_url, store, dawdles) as transact:
            loaded = await loading.load_sagas(transact, taken, writer=store._writer)
        assert [type(saga) for saga in loaded] == [StoredSaga] * 3 + [StoreUnavailable] + [StoredSaga] * 2


@pytest.mark.parametrize("lost", [False, True])
async def test_a_saga_that_takes_too_long_by_itself_is_read_page_by_page(
    database_url: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ROWS_IN_A_PAGE", 2)
    async with open_pool(database_url, log=KeptLog()) as pool, serving(pool) as store:
        logs = await created(store, [number(value) for value in range(3)])
        large = logs[1].claim.saga_id
        events = [NodeEvent.started(large, NodeId(node)) for node in range(5)]
        attempts = [NodeAttempt(large, NodeId(4), "action", attempt, encode("why")) for attempt in (1, 2, 3)]
        writes: list[LogWrite] = [*events, *attempts]
        for write in writes:
            logs[1].enqueue(write)
        await logs[1].durable()
        pages = 0

        def dawdles(load: dict[str, Any]) -> bool:
            nonlocal pages
            pages += "after" in load
            return logs[1].claim in load.get("claims", [])

        async with hasty(database_url, store, dawdles) as transact:
            if lost:
                await rows(pool, "UPDATE saga SET claim = claim + 1 WHERE id = %s RETURNING id", large)
            loaded = await loading.load_sagas(transact, [log.claim for log in logs], writer=store._writer)
        first, found, last = loaded
        assert isinstance(first, StoredSaga)
        assert isinstance(last, StoredSaga)
        if lost:
            assert isinstance(found, SagaLost)
            assert pages == 1
        else:
            assert isinstance(found, StoredSaga)
            assert (found.events, found.attempts) == (tuple(events), tuple(attempts))
            assert pages == 4 + 3
            found.log.enqueue(NodeEvent.succeeded(large, NodeId(4), encode("made")))
            store._pool = pool
            await found.log.durable()
            indices = await rows(pool, "SELECT log_index FROM saga_node_event WHERE saga_id = %s ORDER BY 1", large)
            assert indices == [(index,) for index in range(6)]


async def cancelled_with(scope: trio.CancelScope, call: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await call()


async def test_one_creation_that_is_refused_refuses_no_other(conninfo: str) -> None:
    """Two of them: one with a name too long, one whose id another saga has."""
    async with open_pool(conninfo, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        counting.gate.set()
        async with serving(counting) as store:
            await store.create(NEW)
            counting.gate = trio.Event()
            answers: dict[SagaId, str] = {}

            async def create(saga: NewSaga) -> None:
                try:
                    await store.create(saga)
                    answers[saga.saga_id] = "created"
                except SagaError as error:
                    answers[saga.saga_id] = type(error).__name__

            async with trio.open_nursery() as nursery:
                for value in range(9):
                    nursery.start_soon(create, replace(NEW, saga_id=number(value), name="x" * (200 * (value == 4))))
                nursery.start_soon(create, replace(NEW, name="another"))
                await trio.testing.wait_all_tasks_blocked()
                counting.gate.set()
        refused = {number(4): "WriteRefused", SAGA_ID: "SagaExists"}
        assert answers == {number(value): "created" for value in range(9)} | refused
        assert await rows(pool, "SELECT count(*) FROM saga_claim") == [(9,)]


async def test_new_sagas_that_the_guard_refuses_hold_up_nothing_else(conninfo: str) -> None:
    refusing = False

    async def guard(connection: Connection) -> None:
        if refusing:
            raise NewSagasRefused("not any more")

    async with open_pool(conninfo, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        counting.gate.set()
        async with serving(counting, creation_guard=guard) as store:
            log = await store.create(NEW)
            counting.lose_after = 1
            in_doubt = replace(NEW, saga_id=number(1))
            with pytest.raises(OutcomeUnknown):
                await store.create(in_doubt)
            refusing = True
            counting.gate, counting.transactions = trio.Event(), 0
            answers: list[str] = []

            async def create(saga: NewSaga) -> None:
                with pytest.raises(NewSagasRefused) as caught:
                    await store.create(saga)
                answers.append(str(caught.value))

            async with trio.open_nursery() as nursery:
                for value in range(2, 50):
                    nursery.start_soon(create, replace(NEW, saga_id=number(value)))
                nursery.start_soon(create, replace(in_doubt, name="another"))
                nursery.start_soon(store.create, in_doubt)  # again, as it was
                log.enqueue(STARTED)
                nursery.start_soon(log.durable)
                await trio.testing.wait_all_tasks_blocked()
                counting.gate.set()
            assert counting.transactions <= 2
        assert answers == ["not any more"] * 49
        assert await rows(pool, "SELECT id FROM saga ORDER BY id") == [(number(1),), (SAGA_ID,)]
        assert await events_of(pool, SAGA_ID) == [(0, "started")]


async def test_new_sagas_wait_while_the_queue_is_full(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "MAX_QUEUED_CREATIONS", 3)
    async with open_pool(database_url, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        async with serving(counting) as store:
            async with trio.open_nursery() as nursery:
                for value in range(10):
                    nursery.start_soon(store.create, replace(NEW, saga_id=number(value)))
                await trio.testing.wait_all_tasks_blocked()
                assert len(store._writer._queue) < 3
                counting.gate.set()
            assert await rows(pool, "SELECT count(*) FROM saga") == [(10,)]


async def test_a_database_that_is_away_is_told_to_all_who_create(database_url: str) -> None:
    async with open_pool(database_url, log=KeptLog()) as pool:
        counting = CountingPool(pool)
        counting.lose_before = 1
        async with serving(counting) as store:

            async def create(saga_id: SagaId) -> None:
                with pytest.raises(StoreUnavailable) as caught:
                    await store.create(replace(NEW, saga_id=saga_id))
                assert not isinstance(caught.value, OutcomeUnknown)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(create, number(1))
                await trio.testing.wait_all_tasks_blocked()
                for value in range(2, 5):
                    nursery.start_soon(create, number(value))
                await trio.testing.wait_all_tasks_blocked()
                counting.gate.set()
            assert await rows(pool, "SELECT count(*) FROM saga") == [(0,)]


async def test_a_process_that_is_stopped_keeps_no_lock_for_long(database_url: str) -> None:
    """It has locked its sagas and is not heard of any more: the server ends its transaction."""
    async with open_pool(database_url, log=KeptLog()) as pool, serving(pool) as store:
        await store.create(NEW)
        for lock in (partial(fence.lock_saga, saga_id=SAGA_ID), partial(fence.lock_free_sagas, saga_ids=[SAGA_ID])):
            stopped = await Connection.connect(database_url)
            cursor = await stopped.execute("SHOW transaction_timeout")
            assert await cursor.fetchone() == ("5s",)
            await stopped.execute("SET transaction_timeout = '50ms'")
            await stopped.execute("BEGIN")
            await lock(stopped)
            async with pool.connection() as connection:
                await connection.execute("UPDATE saga SET claim = claim + 1 WHERE id = %s", (SAGA_ID,))
            await stopped.close()


@pytest.mark.parametrize("locked_count", [1, 7, 30])
async def test_the_free_sagas_among_locked_ones_are_found(conninfo: str, locked_count: int) -> None:
    """What the transaction did before stays, and what it does afterwards is committed with it."""
    saga_ids = [number(value) for value in range(30)]
    locked = Random(locked_count).sample(saga_ids, locked_count)
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        await created(store, saga_ids)
        async with pool.connection() as connection, pool.connection() as other:
            async with other.transaction():
                await other.execute("SELECT 1 FROM saga WHERE id = ANY(%s) FOR UPDATE", (locked,))
                async with connection.transaction():
                    await connection.execute("UPDATE saga_claim SET reason = 'adopted'")
                    free, left = await fence.lock_free_sagas(connection, [*saga_ids, number(99)])
                    await connection.execute("UPDATE saga SET claim = 7 WHERE id = ANY(%s)", (list(free),))
            assert left == set(locked)
            assert set(free) == set(saga_ids).difference(locked)
            assert await rows(pool, "SELECT count(*) FROM saga WHERE claim = 7") == [(30 - locked_count,)]
            assert await rows(pool, "SELECT count(*) FROM saga_claim WHERE reason = 'adopted'") == [(30,)]


async def test_among_a_great_many_locked_sagas_every_free_one_is_found_in_the_end(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "MOST_REFUSALS", 3)
    saga_ids = [number(value) for value in range(30)]
    async with open_pool(conninfo, log=KeptLog()) as pool, serving(pool) as store:
        await created(store, saga_ids)
        async with pool.connection() as connection, pool.connection() as other, other.transaction():
            await other.execute("SELECT 1 FROM saga WHERE id = ANY(%s) FOR UPDATE", (saga_ids[10:20],))
            found: set[SagaId] = set()
            with trio.fail_after(30):
                while found != {*saga_ids[:10], *saga_ids[20:]}:
                    async with connection.transaction():
                        free, left = await fence.lock_free_sagas(connection, saga_ids)
                    assert {*free, *left} == set(saga_ids)
                    found.update(free)


# --- writes that the database refuses --------------------------------------------------------------------------------


async def test_g5_another_event_in_its_place_halts_that_saga_alone(database_url: str) -> None:
    async with open_pool(database_url, log=KeptLog()) as pool:
        async with serving(pool) as store, running(store, sometimes_failing(Random(0), rate=0.0)) as sec:
            await rows(
                pool,
                "INSERT INTO saga_node_event"
                " (saga_id, node_id, event_type, data, event_time, creator, claim, log_index)"
                " VALUES (%s, 0, 'succeeded', '7', now(), %s, 1, 3) RETURNING 1",
                SAGA_ID,
                OTHER_SEC_ID,
            )
            await sec.create(SAGA_ID, SHAPE.dag())
            await sec.create(number(1), SHAPE.dag())
            assert (await sec.wait_ended(number(1))).state == SagaSucceeded()
            state = (await sec.wait_ended(SAGA_ID)).state
            assert isinstance(state, SagaRunning)
            assert state.waiting_for is not None
            assert "another event succeeded of node 0 is in the log already" in state.waiting_for
            assert len(sec.sagas()) == 2
        assert await rows(pool, "SELECT saga_state FROM saga WHERE id = %s", SAGA_ID) == [("running",)]


async def test_a_name_that_the_database_refuses_is_not_created(database_url: str) -> None:
    async with open_pool(database_url, log=KeptLog()) as pool, serving(pool) as store:
        with pytest.raises(WriteRefused):
            await store.create(replace(NEW, name="x" * 129))


async def test_create_while_the_database_is_away(database_url: str) -> None:
    nowhere = database_url.rpartition("/")[0].rpartition(":")[0] + ":1/nowhere"
    quick = Timeouts(connect_s=0.5, retry_s=0.1)
    async with (
        open_pool(nowhere, log=KeptLog(), timeouts=quick) as pool,
        serving(pool) as store,
        running(store, sometimes_failing(Random(0), rate=0.0)) as sec,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await sec.create(SAGA_ID, SHAPE.dag())
        assert not isinstance(caught.value, OutcomeUnknown)
        assert sec.sagas() == []
