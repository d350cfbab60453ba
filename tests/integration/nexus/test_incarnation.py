"""Two processes of one SEC id: the newer one has it, whatever the older one does. And an expunged one."""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
import trio
from blueprint_driver import until_a_lock_is_waited_for
from blueprint_lab import START
from database_proxy import proxied
from nexus_lab import SECOND, World, world
from saga_lab import OTHER_SEC_ID, KeptLog

from dropshot.exception_groups import leaves
from nexus import incarnation
from nexus.db.errors import DatabaseUnavailable
from nexus.db.pool import Pool, Timeouts, open_pool
from nexus.db.sec_processes import mark_expunged
from nexus.ids import BlueprintId
from nexus.incarnation import Incarnation, Superseded
from nexus.saga import Action, ActionContext, ActionRegistry, DagBuilder, SagaId, Sec, SecId
from nexus.saga.errors import NewSagasRefused, SagaError, SecSuperseded
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.store import NewSaga

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dropshot.logging import Log
    from nexus.db.connection import Connection

SEC_ID = SecId(UUID(int=0xE6))
SERIALIZABLE = "?options=-c%20default_transaction_isolation%3Dserializable"


async def wait_for_ever(context: ActionContext[None]) -> None:
    await trio.sleep_forever()


WAIT = Action("test.wait", wait_for_ever, params=type(None))
DAG = DagBuilder("test").append(WAIT.node("wait")).build(None)


def number(value: int) -> SagaId:
    return SagaId(UUID(int=value))


class Process:
    def __init__(self, pool: Pool, entered: Incarnation) -> None:
        self.incarnation = entered
        store = PostgresSecStore(pool, log=KeptLog(), guard=entered.guard, creation_guard=entered.guard_creation)
        self.sec = Sec(SEC_ID, store=store, registry=ActionRegistry([WAIT]), log=KeptLog(), on_lost=entered.doubt)


@asynccontextmanager
async def process(conninfo: str) -> AsyncIterator[Process]:
    """One that has entered, and does not watch."""
    with trio.fail_after(60):
        async with open_pool(conninfo, log=KeptLog()) as pool, trio.open_nursery() as nursery:
            only = Process(pool, await Incarnation.enter(pool, SEC_ID, log=KeptLog()))
            await nursery.start(only.sec.run)
            yield only
            nursery.cancel_scope.cancel()


@pytest.fixture(params=["", SERIALIZABLE], ids=["read committed", "serializable"])
def conninfo(request: pytest.FixtureRequest, database_url: str) -> str:
    return f"{database_url}{request.param}"


async def test_g4_an_older_process_takes_nothing_any_more(conninfo: str) -> None:
    async with process(conninfo) as older:
        await older.sec.create(number(1), DAG)
        async with process(conninfo) as newer:
            await newer.sec.recover(number(1))
            with pytest.raises(SecSuperseded, match=f"another process of SEC {SEC_ID} was started"):
                await older.sec.create(number(2), DAG)
            await older.sec.check_claims()
            assert [lost.saga_id for lost in older.sec.drain_lost()] == [number(1)]
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(SecSuperseded):
                await older.sec.recover(number(1))
            with pytest.raises(SecSuperseded):
                await older.sec.adopt([OTHER_SEC_ID])
            with pytest.raises(SecSuperseded):
                await older.sec.abandon_orphans([OTHER_SEC_ID], comment="too old")
            assert await newer.sec.check_claims() == []
            assert [saga.saga_id for saga in await newer.sec.list_in_progress()] == [number(1)]


@pytest.mark.parametrize("seed", range(5))
async def test_g4_the_newer_process_finds_all_that_the_older_one_acknowledged(conninfo: str, seed: int) -> None:
    """It looks once, when it has entered, while the other creates one saga after the other."""
    created: set[SagaId] = set()
    random = Random(seed)

    async def create(older: Process, first: int) -> None:
        for value in range(first, first + 1_000):
            try:
                await older.sec.create(number(value), DAG)
            except SagaError as error:
                assert isinstance(error, SecSuperseded)  # noqa: PT017
                return
            created.add(number(value))

    async with process(conninfo) as older, trio.open_nursery() as nursery:
        for task in range(4):
            nursery.start_soon(create, older, 1_000 * task)
        await trio.sleep(random.uniform(0, 0.1))
        async with process(conninfo) as newer:
            found = {saga.saga_id for saga in await newer.sec.list_in_progress()}
    assert created == found


BLUEPRINT = BlueprintId(UUID(int=0xB))

expunge = partial(mark_expunged, sec_ids=[SEC_ID, OTHER_SEC_ID], blueprint_id=BLUEPRINT)


async def test_an_expunged_one_creates_nothing_any_more_and_goes_on_with_what_it_has(conninfo: str) -> None:
    async with process(conninfo) as only, open_pool(conninfo, log=KeptLog()) as pool:
        await only.sec.create(number(1), DAG)
        await pool.transaction(expunge)
        with pytest.raises(NewSagasRefused, match=f"zone {SEC_ID}, .* is expunged in blueprint {BLUEPRINT}$"):
            await only.sec.create(number(2), DAG)
        with psycopg.connect(conninfo) as connection:
            connection.execute("UPDATE saga SET claim = claim + 1")  # by omdb, say
        assert len(await only.sec.check_claims()) == 1
        await trio.testing.wait_all_tasks_blocked()
        await only.sec.recover(number(1))
        await only.sec.adopt([OTHER_SEC_ID])
        await only.sec.abandon_orphans([OTHER_SEC_ID], comment="too old")


async def test_an_expunged_one_does_not_come_back_by_entering_again(conninfo: str) -> None:
    async with process(conninfo), open_pool(conninfo, log=KeptLog()) as pool:
        await pool.transaction(expunge)
        await pool.transaction(partial(mark_expunged, sec_ids=[SEC_ID], blueprint_id=BlueprintId(UUID(int=0xC))))
        async with process(conninfo) as newer:
            with pytest.raises(NewSagasRefused, match=f"{BLUEPRINT}$"):
                await newer.sec.create(number(1), DAG)


async def test_what_an_expunged_one_is_creating_is_there_when_it_is_expunged(conninfo: str) -> None:
    """It had asked whether it may."""
    may, goes_on = trio.Event(), trio.Event()

    async def slowly(connection: Connection) -> None:
        await entered.guard_creation(connection)
        may.set()
        await goes_on.wait()

    async with open_pool(conninfo, log=KeptLog()) as pool, trio.open_nursery() as nursery:
        entered = await Incarnation.enter(pool, SEC_ID, log=KeptLog())
        store = PostgresSecStore(pool, log=KeptLog(), creation_guard=slowly)
        await nursery.start(store.run)
        with trio.fail_after(30):
            async with trio.open_nursery() as creating:
                creating.start_soon(store.create, NewSaga(number(1), SEC_ID, "test", DAG.to_json(), START))
                await may.wait()
                async with trio.open_nursery() as expunging:
                    expunging.start_soon(pool.transaction, expunge)
                    await until_a_lock_is_waited_for(conninfo)
                    goes_on.set()
                assert [saga.saga_id for saga in await store.list_in_progress(SEC_ID, limit=2)] == [number(1)]
        nursery.cancel_scope.cancel()


async def test_a_stopped_process_keeps_the_next_one_from_entering_for_moments_only(database_url: str) -> None:
    """It had begun to take a claim or to create sagas, and comes to no commit."""
    async with process(database_url) as older, open_pool(database_url, log=KeptLog()) as pool:
        with suppress(DatabaseUnavailable):  # the server ends its transaction
            async with pool.connection() as connection:
                await connection.execute("SET transaction_timeout = '300ms'")
                async with connection.transaction():
                    await older.incarnation.guard(connection)
                    newer = await Incarnation.enter(pool, SEC_ID, log=KeptLog())
        await pool.transaction(newer.guard)
        with pytest.raises(SecSuperseded):
            await pool.transaction(older.incarnation.guard)


async def test_a_process_in_doubt_looks_and_ends_or_goes_on(database_url: str) -> None:
    dispelled = trio.Event()
    async with process(database_url) as older:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(older.incarnation.watch, dispelled=dispelled.set))
                older.incarnation.doubt()
                await dispelled.wait()
                scope.cancel()
        async with open_pool(database_url, log=KeptLog()) as pool:
            await Incarnation.enter(pool, SEC_ID, log=KeptLog())
        older.incarnation.doubt()
        with pytest.raises(Superseded, match=f"pid {os.getpid()} on host"):
            await older.incarnation.watch(dispelled=lambda: pytest.fail("it is not"))


async def test_a_doubt_outlives_an_outage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incarnation, "PAUSE_S", 0.01)
    log = KeptLog()
    async with proxied(database_url) as (proxy, url):
        timeouts = Timeouts(connect_s=0.5, checkout_s=0.5, attempt_s=1, retry_s=0.1)
        async with open_pool(url, log=KeptLog(), timeouts=timeouts) as pool, trio.open_nursery() as nursery:
            entered = await Incarnation.enter(pool, SEC_ID, log=log)
            dispelled = trio.Event()
            await proxy.stop()
            entered.doubt()
            nursery.start_soon(partial(entered.watch, dispelled=dispelled.set))
            with trio.fail_after(30):
                while not log.lines:
                    await trio.lowlevel.checkpoint()
                assert not dispelled.is_set()
                await proxy.start()
                await dispelled.wait()
            nursery.cancel_scope.cancel()


class OlderNexus:
    """A Nexus that is to be superseded."""

    def __init__(self, w: World) -> None:
        self._world = w
        self.ended = trio.Event()
        self.reason: BaseException | None = None

    async def run(self, *, task_status: trio.TaskStatus[Any]) -> None:
        try:
            async with self._world.nexus() as nexus:
                await self._world.initialize_rack(nexus)
                await nexus.ready()
                task_status.started(nexus)
                await trio.sleep_forever()
        except* Superseded as group:
            (self.reason,) = leaves(group)
        self.ended.set()


@pytest.mark.parametrize("period_s", [0.05, 10], ids=["that only waits", "that is asked to go on"])
async def test_an_older_nexus_ends_and_the_newer_goes_on(
    database_url: str, period_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "CHECK_PERIOD_S", period_s)
    async with world(database_url) as w, trio.open_nursery() as nursery:
        older = OlderNexus(w)
        nexus = await nursery.start(older.run)
        demo = json.loads((await nexus.request("POST", "/demo-saga")).body)
        complete = f"/demo-saga/{demo['demo_saga_id']}/complete"
        async with w.nexus() as newer:
            await newer.ready()
            await newer.eventually("GET", f"/sagas/{demo['saga_id']}", lambda answer: answer.status == 200)
            if period_s == 10:
                assert (await nexus.request("POST", complete)).status >= 400
            await older.ended.wait()
            assert "another process with the id of this Nexus" in str(older.reason)
            await newer.eventually("POST", complete, lambda answer: answer.status == 204)
            await newer.eventually(
                "GET", f"/sagas/{demo['saga_id']}", lambda answer: b'"state":"succeeded"' in answer.body
            )
        with psycopg.connect(database_url) as connection:
            claims = connection.execute("SELECT reason FROM saga_claim ORDER BY saga_id, claim").fetchall()
            assert claims == [("created",), ("recovered",)]
            processes = connection.execute("SELECT sec_id, incarnation, pid FROM sec_process").fetchall()
            assert processes == [(newer.id, 2, os.getpid())]


async def test_a_superseded_nexus_leaves_blueprint_and_dns_as_they_are(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of its id is started just before it would write where it listens."""
    enter = Incarnation.enter

    async def enter_and_be_superseded(pool: Pool, sec_id: SecId, *, log: Log) -> Incarnation:
        mine = await enter(pool, sec_id, log=log)
        await enter(pool, sec_id, log=log)
        return mine

    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        monkeypatch.setattr(Incarnation, "enter", enter_and_be_superseded)
        with pytest.raises(ExceptionGroup) as caught:
            async with w.nexus(SECOND):
                await trio.sleep_forever()
        assert [type(error) for error in leaves(caught.value)] == [Superseded]
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) FROM bp_target").fetchall() == [(1,)]


async def test_a_superseded_nexus_does_not_say_that_its_id_is_quiesced(database_url: str) -> None:
    async with world(database_url) as w, trio.open_nursery() as nursery:
        older = OlderNexus(w)
        nexus = await nursery.start(older.run)
        demo = json.loads((await nexus.request("POST", "/demo-saga")).body)
        assert (await nexus.request("POST", "/quiesce")).status == 204
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE sec_process SET incarnation = incarnation + 1")
        assert (await nexus.request("POST", f"/demo-saga/{demo['demo_saga_id']}/complete")).status == 204
        await older.ended.wait()
        assert isinstance(older.reason, Superseded)
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT state FROM db_metadata_nexus").fetchall() == [("active",)]
