"""Recovery with the durable store, under the driver: crashes, a database that goes away, a log that is no good."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
import trio
from database_proxy import proxied

from nexus.api.types import Completed
from nexus.background.driver import Driver, utc_now
from nexus.background.wiring import build_tasks
from nexus.config import BackgroundTasksConfig, ConsoleConfig
from nexus.db.pool import Timeouts, open_pool
from nexus.ids import NexusId
from nexus.quiesce.gate import QuiesceGate
from nexus.saga.action import Action, ActionContext, ActionRegistry
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.execution import SagaSucceeded
from nexus.saga.ids import SagaId, SecId
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.sec import Sec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.db.pool import Pool
    from nexus.saga.dag import SagaDag

LOG = structlog.get_logger()
SEC_ID = SecId(uuid4())
QUICK = Timeouts(connect_s=0.5, checkout_s=0.5, attempt_s=1, retry_s=0.1)


async def wait_for(event: trio.Event, context: ActionContext[int]) -> None:
    await event.wait()


def waiting(event: trio.Event) -> Action[int, None]:
    return Action("demo.wait", partial(wait_for, event), params=int)


def demo() -> SagaDag:
    return DagBuilder("demo").append(waiting(trio.Event()).node("wait")).build(0)


class Nexus:
    """What a process has of its own: a SEC and its tasks."""

    def __init__(self, pool: Pool) -> None:
        self.complete = trio.Event()
        self.pool = pool
        store = PostgresSecStore(pool, log=LOG)
        self.sec = Sec(SEC_ID, store=store, registry=ActionRegistry([waiting(self.complete)]), log=LOG)
        tasks = build_tasks(
            BackgroundTasksConfig(),
            console=ConsoleConfig(),
            pool=pool,
            sec=self.sec,
            quiesce=QuiesceGate(NexusId(SEC_ID), now=utc_now),
            nexus_id=NexusId(SEC_ID),
            internal_dns=[],
            log=LOG,
        )
        self.driver = Driver(tasks, log=LOG)

    async def create(self) -> SagaId:
        saga_id = SagaId(uuid4())
        await self.sec.create(saga_id, demo())
        return saga_id

    async def activate(self, name: str = "saga_recovery") -> Any:
        """Have a task run once more, and return the details."""
        before = self._iteration(name)
        self.driver.activate([name])
        while self._iteration(name) == before:
            await trio.lowlevel.checkpoint()
        return self.details(name)

    async def first_pass(self) -> Any:
        while not self._iteration("saga_recovery"):
            await trio.lowlevel.checkpoint()
        return self.details()

    def details(self, name: str = "saga_recovery") -> Any:
        last = self.driver.status(name).last
        assert isinstance(last, Completed)
        return last.details.details

    def _iteration(self, name: str) -> int:
        last = self.driver.status(name).last
        return last.details.iteration if isinstance(last, Completed) else 0


@asynccontextmanager
async def nexus(url: str) -> AsyncIterator[Nexus]:
    """A Nexus that crashes at the end of the block."""
    with trio.fail_after(30):
        async with open_pool(url, log=LOG, timeouts=QUICK) as pool, trio.open_nursery() as nursery:
            it = Nexus(pool)
            await nursery.start(it.sec.run)
            await nursery.start(it.driver.run)
            yield it
            nursery.cancel_scope.cancel()


def success(*, found: int, recovered: int = 0, failed: int = 0, skipped: int = 0, removed: int = 0) -> object:
    return {
        "Success": {
            "nfound": found,
            "nrecovered": recovered,
            "nfailed": failed,
            "nskipped": skipped,
            "nremoved": removed,
        }
    }


async def test_sagas_survive_a_crash(database_url: str) -> None:
    async with nexus(database_url) as first:
        await first.first_pass()
        finished = await first.create()
        first.complete.set()
        await first.sec.wait_ended(finished)
    async with nexus(database_url) as first:
        saga_ids = sorted([await first.create() for _ in range(3)])
    async with nexus(database_url) as second:
        details = await second.first_pass()
        assert details["last_pass"] == success(found=3, recovered=3)
        assert [recovery["saga_id"] for recovery in details["recent_recoveries"]] == [str(id_) for id_ in saga_ids]
        assert [status.saga_id for status in second.sec.sagas()] == saga_ids, "the finished one is not known here"
        second.complete.set()
        for saga_id in saga_ids:
            assert isinstance((await second.sec.wait_ended(saga_id)).state, SagaSucceeded)
        assert (await second.activate())["last_pass"] == success(found=0)
        assert (await second.activate())["last_pass"] == success(found=0, removed=3)
    async with nexus(database_url) as third:
        assert (await third.first_pass())["last_pass"] == success(found=0)


async def test_the_database_goes_away_and_comes_back(database_url: str) -> None:
    """No task dies, no saga is lost, each activation meanwhile says what it met, and the next one is the retry."""
    async with nexus(database_url) as first:
        old = await first.create()
    async with proxied(database_url) as (proxy, url):
        await proxy.stop()
        async with nexus(url) as second:
            details = await second.first_pass()
            assert "127.0.0.1" in details["last_pass"]["Failed"]["message"]
            assert details["recent_recoveries"] == []
            for name in ("dns_config_internal", "external_endpoints", "session_cleanup"):
                assert "cannot be reached" in (await second.activate(name))["error"]
            await proxy.start()
            assert (await second.activate())["last_pass"] == success(found=1, recovered=1)
            new = await second.create()
            await proxy.stop()
            second.complete.set()
            assert "Failed" in (await second.activate())["last_pass"]
            await proxy.start()
            for saga_id in (old, new):
                assert isinstance((await second.sec.wait_ended(saga_id)).state, SagaSucceeded)
            assert (await second.activate())["last_pass"] == success(found=0)
            assert (await second.activate("session_cleanup"))["deleted"] == 0


async def test_a_log_that_cannot_be_replayed_is_abandoned_with_the_reason(database_url: str) -> None:
    async with nexus(database_url) as first:
        good, bad = await first.create(), await first.create()
        async with first.pool.connection() as connection:
            await connection.execute(
                "INSERT INTO saga_node_event VALUES (%s, 0, 'undo_finished', NULL, now(), %s, 1, 1000)", (bad, SEC_ID)
            )
    async with nexus(database_url) as second:
        details = await second.first_pass()
        assert details["last_pass"] == success(found=2, recovered=1, failed=1)
        (failure,) = details["recent_failures"]
        assert (failure["saga_id"], failure["kind"]) == (str(bad), "permanent")
        async with second.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT saga_state, abandon_reason, abandon_comment FROM saga WHERE id = %s", (bad,)
            )
            row = await cursor.fetchone()
        assert row is not None
        state, reason, comment = row
        assert (state, reason) == ("abandoned", "unrecoverable")
        assert comment in failure["message"]
        assert (await second.activate())["last_pass"] == success(found=1, skipped=1)
        assert [status.saga_id for status in second.sec.sagas()] == [good]


async def test_a_saga_of_another_sec_is_left_alone(database_url: str) -> None:
    async with nexus(database_url) as first:
        saga_id = await first.create()
        async with first.pool.connection() as connection:
            await connection.execute("UPDATE saga SET current_sec = %s WHERE id = %s", (uuid4(), saga_id))
    async with nexus(database_url) as second:
        assert (await second.first_pass())["last_pass"] == success(found=0)
