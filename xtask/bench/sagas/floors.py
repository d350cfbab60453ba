"""What the engine cannot be faster than: its statements without it.

pgbench does the eight statements of one saga as eight transactions. The log alone is the same `LogWriter`, fed by a
loop that waits where the engine does, without DAG and executor.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from dropshot.logging import LogConfig, open_log
from nexus.db.pool import open_pool
from nexus.saga.ids import NodeId, SagaId, SecId
from nexus.saga.log import NodeEvent
from nexus.saga.payload import encode
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.store import NewSaga, StateUpdate, StoredState
from simstack.binaries import find_binaries
from xtask.bench.sagas.engine import in_parallel
from xtask.bench.sagas.saga_types import NAME, dag

if TYPE_CHECKING:
    from pathlib import Path

PGBENCH_CLIENTS = 64
PGBENCH_S = 3

DAG = dag(0)


async def log_alone(url: str, *, tasks: int, count: int) -> float:
    """Sagas per second."""
    act, first, last = NodeId(0), DAG.start_node, DAG.end_node
    null, sec_id, serialized = encode(None), SecId(uuid4()), DAG.to_json()
    log = open_log(LogConfig(level="warn"), name="bench")
    async with open_pool(url, log=log) as pool, trio.open_nursery() as nursery:
        store = PostgresSecStore(pool, log=log)
        await nursery.start(store.run)

        async def write_one() -> None:
            saga_id = SagaId(uuid4())
            writer = await store.create(NewSaga(saga_id, sec_id, NAME, serialized, datetime.now(UTC)))
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
        await in_parallel(tasks, count, write_one)
        rate = count / (time.perf_counter() - start)
        nursery.cancel_scope.cancel()
    return rate


async def pgbench(url: str, script: Path) -> float:
    """Sagas per second. Writes the script, if it is not there."""
    if not await trio.Path(script).exists():
        await trio.Path(script).write_text(_eight_transactions(), encoding="utf-8")
    program = find_binaries().directory / "pgbench"
    argv = [str(program), "-n", "-M", "prepared", "-f", str(script), "-T", str(PGBENCH_S)]
    done = await trio.run_process([*argv, "-c", str(PGBENCH_CLIENTS), "-j", "2", url], capture_stdout=True)
    for line in done.stdout.decode().splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise SystemExit(f"pgbench said nothing of tps:\n{done.stdout.decode()}")


def _eight_transactions() -> str:
    """The rows of one saga, each statement its own transaction."""
    saga_id = "lpad(to_hex(:n::bigint), 32, '0')::uuid"
    # pgbench takes `:name` for a variable, so the JSON has a space behind each colon.
    serialized = json.dumps(json.loads(DAG.to_json()))
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
            f" VALUES ({saga_id}, {saga_id}, now(), '{NAME}', '{serialized}', 'running', {saga_id}, now(), 1);",
            *events,
            f"UPDATE saga SET saga_state = 'done' WHERE id = {saga_id};",
            "",
        ]
    )
