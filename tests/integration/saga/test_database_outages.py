"""A thousand sagas run, and the database goes away under them, again and again: all finish, and nothing happens twice.

The process lives through it, so every action and undo action must have been called exactly once. More sagas are
created all the while: those that were acknowledged are there, and those that were refused are not.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
import trio
from conftest import schema_paths
from database_proxy import proxied
from saga_lab import SEC_ID, KeptLog
from saga_oracle import LogOracle
from saga_shapes import Part, Shape

from nexus.db.pool import Timeouts, open_pool
from nexus.saga.action import Action, ActionContext, ActionFailure, ActionRegistry
from nexus.saga.errors import StoreUnavailable
from nexus.saga.execution import SagaFailed, SagaSucceeded
from nexus.saga.ids import SagaId
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.sec import Sec
from simstack.cluster_config import ClusterConfig
from simstack.directory import stack_directory, stacks_root
from simstack.postgres import open_postgres
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    OpenDatabase = Callable[[str], AbstractAsyncContextManager["Database"]]

A = Part.ACTION
SHAPE = Shape(((A,), (A, A), (A,)))
LAST = 3
DAG = SHAPE.dag()

RUNNING = 1_000
OUTAGES_AT = (1_200, 2_000, 3_000)
"""After so many calls of actions and undo actions, of more than 4,000. When there are 1,000, every saga runs."""

LONGEST_CALL_S = 0.5
"""So that the outages meet many transactions, and sagas at every point of their way."""

IMPATIENT = Timeouts(connect_s=1, checkout_s=1, attempt_s=5, retry_s=0.1)
DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class Database:
    url: str
    """What the sagas use."""

    direct: str
    """What is asked in the end."""

    outage: Callable[[], Awaitable[None]]
    faults: Callable[[], int]
    """How many there have been."""


@asynccontextmanager
async def stopped_at_once(url: str) -> AsyncIterator[Database]:
    """`pg_ctl stop -m immediate`: the server dies where it stands, and recovers from its log when it is started."""
    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog:
        config = ClusterConfig(
            directory=directory.path / "postgres", log_path=directory.path / "postgres.log", schema=schema_paths()
        )
        async with open_postgres(config, watchdog=watchdog) as cluster:

            async def outage() -> None:
                assert cluster.pid is not None
                os.kill(cluster.pid, signal.SIGQUIT)
                await cluster.stop()
                await cluster.start()

            def faults() -> int:
                return cluster.log_path.read_text().count("received immediate shutdown request")

            yield Database(cluster.url, cluster.url, outage, faults)


@asynccontextmanager
async def connections_reset(url: str) -> AsyncIterator[Database]:
    """All of them, some in the middle of a transaction and some in its commit."""
    broken = 0
    async with proxied(url) as (proxy, through_proxy):

        async def outage() -> None:
            nonlocal broken
            for _ in range(10):
                broken += proxy.reset()
                await trio.sleep(0.01)

        yield Database(through_proxy, url, outage, lambda: broken)


SERIALIZATION_FAILURE = """
CREATE SEQUENCE injected;
CREATE FUNCTION serialization_failure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_current_xact_id()::text::int8 % 5 = TG_ARGV[0]::int8 THEN
        PERFORM nextval('injected');
        RAISE EXCEPTION 'injected' USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END $$
"""

AT_THE_FIRST_EVENT = """
CREATE TRIGGER at_once BEFORE INSERT ON saga_node_event FOR EACH ROW EXECUTE FUNCTION serialization_failure(0)
"""

IN_THE_COMMIT = """
CREATE CONSTRAINT TRIGGER in_the_commit AFTER INSERT ON saga_node_event DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION serialization_failure(1)
"""

IN_THE_COMMIT_OF_NEW_SAGAS = """
CREATE CONSTRAINT TRIGGER in_the_commit AFTER INSERT ON saga DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION serialization_failure(2)
"""


@asynccontextmanager
async def serialization_failures(url: str) -> AsyncIterator[Database]:
    """Of five transactions one fails with 40001, from the second outage on two, from the third on three."""
    triggers = iter((AT_THE_FIRST_EVENT, IN_THE_COMMIT, IN_THE_COMMIT_OF_NEW_SAGAS))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SERIALIZATION_FAILURE)

        async def outage() -> None:
            await trio.to_thread.run_sync(connection.execute, next(triggers))

        def faults() -> int:
            ((failures,),) = connection.execute("SELECT last_value - 1 FROM injected").fetchall()
            return int(failures)

        yield Database(url, url, outage, faults)


class World:
    """What the actions do, and how often. In every fifth saga the last one fails."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[SagaId, str, str]] = Counter()
        self.gate = trio.Event()
        self._count = 0
        self._called = trio.Event()
        self._random = Random(0)

    def registry(self) -> ActionRegistry:
        return ActionRegistry([Action("lab.act", self._act, undo=self._undo, params=int)])

    async def reached(self, calls: int) -> None:
        while self._count < calls:
            await self._called.wait()

    async def _act(self, context: ActionContext[int]) -> None:
        self._note("act", context)
        await self.gate.wait()
        await trio.sleep(self._random.uniform(0, LONGEST_CALL_S))
        if context.node_name == f"n{LAST}" and fails(context.saga_id):
            raise ActionFailure("as every fifth")

    async def _undo(self, context: ActionContext[int]) -> None:
        self._note("undo", context)
        await trio.lowlevel.checkpoint()

    def _note(self, verb: str, context: ActionContext[int]) -> None:
        self.calls[context.saga_id, verb, context.node_name] += 1
        self._count += 1
        self._called.set()
        self._called = trio.Event()


def fails(saga_id: SagaId) -> bool:
    return saga_id.int % 5 == 0


def expected_calls(saga_ids: set[SagaId]) -> Counter[tuple[SagaId, str, str]]:
    act = {(saga_id, "act", f"n{node}") for saga_id in saga_ids for node in range(LAST + 1)}
    undo = {(saga_id, "undo", f"n{node}") for saga_id in saga_ids if fails(saga_id) for node in range(LAST)}
    return Counter(act | undo)


async def create_until(over: trio.Event, sec: Sec, first: int, acknowledged: set[SagaId]) -> None:
    for value in count(first):
        if over.is_set():
            return
        saga_id = SagaId(UUID(int=value))
        try:
            await sec.create(saga_id, DAG)
            acknowledged.add(saga_id)
        except StoreUnavailable:
            pass  # then it is not in the database in the end
        await trio.sleep(0.01)  # there is to be more to do than to create sagas


def check_database(url: str, acknowledged: set[SagaId]) -> None:
    with psycopg.connect(url) as connection:
        states = connection.execute("SELECT id, saga_state FROM saga").fetchall()
        assert {row[0] for row in states} == acknowledged
        assert {row[1] for row in states} == {"done"}
        logs: dict[SagaId, list[tuple[int, str]]] = defaultdict(list)
        for saga_id, node_id, kind, claim, log_index in connection.execute(
            "SELECT saga_id, node_id, event_type, claim, log_index FROM saga_node_event ORDER BY saga_id, log_index"
        ):
            assert (claim, log_index) == (1, len(logs[saga_id]))
            logs[saga_id].append((node_id, kind))
        for saga_id in acknowledged:
            assert LogOracle(SHAPE).read(logs[saga_id]).end() == ("failed" if fails(saga_id) else "succeeded")
        for table in ("saga_claim WHERE claim > 1", "saga_node_attempt"):
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


@pytest.mark.parametrize("open_database", [stopped_at_once, connections_reset, serialization_failures])
async def test_g1_a_thousand_sagas_live_through_outages(open_database: OpenDatabase, database_url: str) -> None:
    world = World()
    acknowledged = {SagaId(UUID(int=value)) for value in range(RUNNING)}
    over = trio.Event()
    with trio.fail_after(DEADLINE_S):
        async with (
            open_database(database_url) as database,
            open_pool(database.url, log=KeptLog(), timeouts=IMPATIENT) as pool,
            trio.open_nursery() as nursery,
        ):
            sec = Sec(SEC_ID, store=PostgresSecStore(pool, log=KeptLog()), registry=world.registry(), log=KeptLog())
            await nursery.start(sec.run)
            async with trio.open_nursery() as creating:
                for saga_id in acknowledged:
                    creating.start_soon(sec.create, saga_id, DAG)
            async with trio.open_nursery() as running:
                for task in range(2):
                    running.start_soon(create_until, over, sec, 1_000_000 * (task + 1), acknowledged)
                world.gate.set()
                for calls in OUTAGES_AT:
                    await world.reached(calls)
                    await database.outage()
                over.set()
            for saga_id in sorted(acknowledged):
                state = (await sec.wait_ended(saga_id)).state
                assert isinstance(state, SagaFailed if fails(saga_id) else SagaSucceeded)
            check_database(database.direct, acknowledged)
            assert database.faults() >= len(OUTAGES_AT)
            nursery.cancel_scope.cancel()
    assert world.calls == expected_calls(acknowledged)
