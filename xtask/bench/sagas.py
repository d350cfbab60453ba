"""What a saga costs: the engine in this process, beside its own log writer and beside pgbench, on one Postgres.

The saga has one action, which returns at once. In the database that is one row of `saga`, six events and one update of
the state, the eight statements that pgbench does as eight transactions. The server syncs every commit to disk; nothing
goes through HTTP. The log alone is the same `LogWriter`, fed by a loop that waits where the engine does, without DAG
and executor.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from dropshot.logging import LogConfig, open_log
from nexus.db.pool import open_pool
from nexus.saga.action import Action, ActionRegistry
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.ids import NodeId, SagaId, SecId
from nexus.saga.log import NodeEvent
from nexus.saga.payload import encode
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.sec import Sec
from nexus.saga.store import NewSaga, StateUpdate, StoredState
from simstack.binaries import find_binaries
from simstack.cluster import running_cluster
from simstack.cluster_config import ClusterConfig, Durability
from simstack.directory import stack_directory, stacks_root
from simstack.template import DATABASE, SUPERUSER
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nexus.saga.action import ActionContext

SCHEMA = Path(__file__).parents[2] / "nexus/db/schema"

SAGAS = {1: 200, 32: 1_500, 256: 3_000, 1_024: 4_000}
"""How many are run by so many tasks at once: enough for a second or two."""

LOG_ALONE_TASKS = 256
PGBENCH_CLIENTS = 64
PGBENCH_S = 3
RECOVERED = 1_000
RECOVERED_AT_ONCE = 256
"""As background task `saga_recovery` does."""

PARKED = (1_000, 10_000)

GOAL_OF_PGBENCH = 0.75
GOAL_OF_THE_LOG = 0.3
GOAL_RECOVERY_S = 1.0
GOAL_PARKED_KIB = 12.0


def sagas(*, rounds: int = 3) -> int:
    """Measure sagas per second, recovery and memory of the engine in this process, on a Postgres with fsync on.

    Parameters
    ----------
    rounds
        Interleaved rounds of everything that is a rate; one more comes first and warms up.
    """
    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog:
        config = ClusterConfig(
            directory=directory.path / "postgres",
            log_path=directory.path / "postgres.log",
            schema=sorted(SCHEMA.glob("*.sql")),
            durability=Durability.POWER_LOSS,
        )
        watchdog.postgres(config.data_directory)
        with running_cluster(config) as cluster:
            url = f"postgresql://{SUPERUSER}@{cluster.address}/{DATABASE}"
            script = directory.path / "eight.sql"
            script.write_text(_eight_transactions(), encoding="utf-8")
            trio.run(_measure, url, script, rounds)
    return 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Sagas per second, one sample a round."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


async def _measure(url: str, script: Path, rounds: int) -> None:
    print("memory and recovery, once; resident memory is that of the process, after a collection")
    await _memory(url)
    await _recovery(url)
    latencies: list[float] = []
    subjects: dict[str, Callable[[], Awaitable[float]]] = {
        f"pgbench, {PGBENCH_CLIENTS} clients": partial(_pgbench, url, script),
        f"the log alone, {LOG_ALONE_TASKS} at once": partial(_log_alone, url),
    }
    for tasks, count in SAGAS.items():
        subjects[f"sagas, {tasks} at once"] = partial(_engine, url, tasks, count, latencies if tasks == 1 else [])
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(rounds + 1):
        if round_number == 1:
            latencies.clear()
        for name, run in subjects.items():
            measured = await run()
            if round_number:
                samples[name].append(measured)
    pgbench, log_alone, *engine = (Rate(name, tuple(taken)) for name, taken in samples.items())
    print(f"sagas per second, {rounds} interleaved rounds after one that warms up")
    print(f"{'':<28}{'median':>8}{'min':>8}{'max':>8}{'/pgbench':>10}{'/log':>8}")
    for rate in (pgbench, log_alone, *engine):
        figures = "".join(f"{figure:8.0f}" for figure in (rate.median, min(rate.samples), max(rate.samples)))
        print(f"{rate.name:<28}{figures}{rate.median / pgbench.median:10.2f}{rate.median / log_alone.median:8.2f}")
    print(f"one after the other: p50 {statistics.median(latencies) * 1000:.2f} ms, creation to end")
    best = max(rate.median for rate in engine)
    _goal("sagas/s, best, to pgbench", best / pgbench.median, at_least=GOAL_OF_PGBENCH)
    _goal("sagas/s, best, to the log alone", best / log_alone.median, at_least=GOAL_OF_THE_LOG)


def _goal(what: str, measured: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    met = (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most)
    bound = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    print(f"goal: {what}: {bound}; measured {measured:.2f}: {'met' if met else 'MISSED'}")


# --- the engine ------------------------------------------------------------------------------------------------------


async def _act(_context: ActionContext[int]) -> None:
    await trio.lowlevel.checkpoint()


ACT = Action("bench.act", _act, params=int)
DAG = DagBuilder("bench").append(ACT.node("act")).build(0)


def _waiting(event: trio.Event) -> Action[int, None]:
    async def wait(_context: ActionContext[int]) -> None:
        await event.wait()

    return Action("bench.wait", wait, params=int)


@asynccontextmanager
async def _sec(url: str, action: Action[int, None], sec_id: SecId) -> AsyncIterator[Sec]:
    log = open_log(LogConfig(level="warn"), name="bench")
    async with open_pool(url, log=log) as pool, trio.open_nursery() as nursery:
        sec = Sec(sec_id, store=PostgresSecStore(pool, log=log), registry=ActionRegistry([action]), log=log)
        await nursery.start(sec.run)
        yield sec
        nursery.cancel_scope.cancel()


async def _in_parallel(tasks: int, count: int, run: Callable[[], Awaitable[None]]) -> None:
    left = count

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await run()

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(work)


async def _engine(url: str, tasks: int, count: int, latencies: list[float]) -> float:
    async with _sec(url, ACT, SecId(uuid4())) as sec:

        async def run_one() -> None:
            start = time.perf_counter()
            saga_id = SagaId(uuid4())
            await sec.create(saga_id, DAG)
            await sec.wait_ended(saga_id)
            latencies.append(time.perf_counter() - start)

        start = time.perf_counter()
        await _in_parallel(tasks, count, run_one)
        return count / (time.perf_counter() - start)


async def _recovery(url: str) -> None:
    sec_id = SecId(uuid4())
    event = trio.Event()
    action = _waiting(event)
    dag = DagBuilder("bench").append(action.node("wait")).build(0)
    async with _sec(url, action, sec_id) as sec:
        await _in_parallel(LOG_ALONE_TASKS, RECOVERED, lambda: sec.create(SagaId(uuid4()), dag))
    event.set()
    async with _sec(url, action, sec_id) as sec:
        start = time.perf_counter()
        found = await sec.list_in_progress(limit=RECOVERED)
        to_do = iter(found)

        async def recover_one() -> None:
            await sec.recover(next(to_do).saga_id)

        await _in_parallel(RECOVERED_AT_ONCE, len(found), recover_one)
        recovered_s = time.perf_counter() - start
        for saga in found:
            await sec.wait_ended(saga.saga_id)
        finished_s = time.perf_counter() - start
    assert len(found) == RECOVERED, "the process before this one left all of them"
    print(f"recovery of {RECOVERED} sagas: all claimed and loaded after {recovered_s:.2f} s, ended {finished_s:.2f} s")
    _goal(f"seconds until {RECOVERED} sagas are recovered and at their end", finished_s, at_most=GOAL_RECOVERY_S)


async def _memory(url: str) -> None:
    action = _waiting(trio.Event())
    dag = DagBuilder("bench").append(action.node("wait")).build(0)
    sec_id = SecId(uuid4())
    async with _sec(url, action, sec_id) as sec:
        await _in_parallel(LOG_ALONE_TASKS, LOG_ALONE_TASKS, lambda: sec.create(SagaId(uuid4()), dag))
        before, parked = _resident_kib(), 0
        for count in PARKED:
            await _in_parallel(LOG_ALONE_TASKS, count - parked, lambda: sec.create(SagaId(uuid4()), dag))
            parked = count
            per_saga = (_resident_kib() - before) / count
            print(f"{count} parked sagas: {per_saga:.1f} KiB resident each")
            _goal(f"KiB per parked saga, {count} of them", per_saga, at_most=GOAL_PARKED_KIB)


def _resident_kib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


# --- the floors ------------------------------------------------------------------------------------------------------


async def _log_alone(url: str) -> float:
    count = SAGAS[LOG_ALONE_TASKS]
    act, first, last = NodeId(0), DAG.start_node, DAG.end_node
    null, sec_id, dag = encode(None), SecId(uuid4()), DAG.to_json()
    log = open_log(LogConfig(level="warn"), name="bench")
    async with open_pool(url, log=log) as pool, trio.open_nursery() as nursery:
        store = PostgresSecStore(pool, log=log)
        await nursery.start(store.run)

        async def write_one() -> None:
            saga_id = SagaId(uuid4())
            writer = await store.create(NewSaga(saga_id, sec_id, "bench", dag, datetime.now(UTC)))
            writer.enqueue(NodeEvent.started(saga_id, first))
            writer.enqueue(NodeEvent.succeeded(saga_id, first, null))
            writer.enqueue(NodeEvent.started(saga_id, act))
            await writer.durable()
            writer.enqueue(NodeEvent.succeeded(saga_id, act, null))
            writer.enqueue(NodeEvent.started(saga_id, last))
            writer.enqueue(NodeEvent.succeeded(saga_id, last, null))
            writer.enqueue(StateUpdate(StoredState.DONE))
            await writer.durable()

        start = time.perf_counter()
        await _in_parallel(LOG_ALONE_TASKS, count, write_one)
        rate = count / (time.perf_counter() - start)
        nursery.cancel_scope.cancel()
    return rate


def _eight_transactions() -> str:
    """A pgbench script: the rows of one saga, each statement its own transaction."""
    saga_id = "lpad(to_hex(:n::bigint), 32, '0')::uuid"
    # pgbench takes `:name` for a variable, so the JSON has a space behind each colon.
    dag = json.dumps(json.loads(DAG.to_json()))
    events = [
        f"INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator, claim, log_index)"
        f" VALUES ({saga_id}, {node}, '{kind}', {data}, now(), {saga_id}, 1, {2 * place + half});"
        for place, node in enumerate((DAG.start_node, 0, DAG.end_node))
        for half, (kind, data) in enumerate((("started", "NULL"), ("succeeded", "'null'")))
    ]
    return "\n".join(
        [
            r"\set n random(1, 4611686018427387904)",
            "INSERT INTO saga (id, creator, time_created, name, saga_dag, saga_state, current_sec, adopt_time, claim)"
            f" VALUES ({saga_id}, {saga_id}, now(), 'bench', '{dag}', 'running', {saga_id}, now(), 1);",
            *events,
            f"UPDATE saga SET saga_state = 'done' WHERE id = {saga_id};",
            "",
        ]
    )


async def _pgbench(url: str, script: Path) -> float:
    pgbench = find_binaries().directory / "pgbench"
    argv = [str(pgbench), "-n", "-M", "prepared", "-f", str(script), "-T", str(PGBENCH_S)]
    done = await trio.run_process([*argv, "-c", str(PGBENCH_CLIENTS), "-j", "2", url], capture_stdout=True)
    for line in done.stdout.decode().splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise SystemExit(f"pgbench said nothing of tps:\n{done.stdout.decode()}")
