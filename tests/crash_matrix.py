"""Runs provision sagas in processes that kill themselves, at every event, and recovers each in another process.

    python tests/crash_matrix.py DATABASE_URL '{"fail": ["server"]}'

For every event that such a saga writes, before it and after it: a process runs a saga until it dies there, by SIGKILL;
what the log holds then is checked; another process recovers the saga, which must end as the one that nothing happened
to; so must what it leaves behind. Prints one line for each point that does not, and exits with 1.

The processes are forked, so that each has but little to do; this one uses no thread, and no trio.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import trio
from small_nexus import small_nexus

from nexus.saga import SagaId, SecId
from nexus.saga.dag import SagaDag
from nexus.saga.injection import CrashAt
from nexus.saga.log import EventKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

SEC_ID = SecId(UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"))
DEADLINE_S = 20

READ_LOG = "SELECT node_id, event_type FROM saga_node_event WHERE saga_id = %s ORDER BY log_index"
READ_DAG = "SELECT saga_dag::text FROM saga WHERE id = %s"
READ_STATE = "SELECT saga_state FROM saga WHERE id = %s"
READ_RESOURCES = "SELECT name FROM provisioned_resource WHERE saga_id = %s ORDER BY name"


async def create_and_run(url: str, saga_id: SagaId, params: bytes, injections: Sequence[CrashAt]) -> None:
    async with small_nexus(url, SEC_ID, deadline_s=DEADLINE_S) as nexus:
        (dag,) = nexus.catalog.types.dags("provision", params, count=1)
        await nexus.sec.create(saga_id, dag, injections=injections)
        await nexus.sec.wait_ended(saga_id)


async def recover_and_run(url: str, saga_id: SagaId) -> None:
    async with small_nexus(url, SEC_ID, deadline_s=DEADLINE_S) as nexus:
        await nexus.sec.recover(saga_id)
        await nexus.sec.wait_ended(saga_id)


def in_a_process(run: Callable[[], Awaitable[None]]) -> int:
    """The exit code, or minus the signal."""
    pid = os.fork()
    if not pid:
        try:
            trio.run(run)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@dataclass(frozen=True, slots=True)
class End:
    """How a saga ended: the last status of every node, and what is left."""

    state: str
    nodes: dict[str, str]
    resources: list[str]


class Recorded:
    """What the database holds."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def log(self, saga_id: SagaId) -> list[tuple[str, str]]:
        ((dag_text,),) = self._connection.execute(READ_DAG, (saga_id,)).fetchall()
        dag = SagaDag.from_json(dag_text.encode())
        return [(dag.node_name(row[0]), row[1]) for row in self._connection.execute(READ_LOG, (saga_id,))]

    def end(self, saga_id: SagaId) -> End:
        ((state,),) = self._connection.execute(READ_STATE, (saga_id,)).fetchall()
        resources = [row[0] for row in self._connection.execute(READ_RESOURCES, (saga_id,))]
        return End(state, dict(self.log(saga_id)), resources)


def complaint(url: str, recorded: Recorded, params: bytes, point: CrashAt, *, expected: End) -> str | None:
    """What is wrong with a crash at that point, and the recovery from it."""
    saga_id = SagaId(uuid4())
    ended = in_a_process(partial(create_and_run, url, saga_id, params, [point]))
    if ended != -signal.SIGKILL:
        return f"the process was to die by SIGKILL, and ended with {ended}"
    log = recorded.log(saga_id)
    event = point.node_name, point.event.value
    if point.when == "after" and log[-1] != event:
        return f"the last event is {log[-1]}"
    if point.when == "before" and event in log:
        return "the event is in the log"
    ended = in_a_process(partial(recover_and_run, url, saga_id))
    if ended:
        return f"the process that recovers it ended with {ended}"
    end = recorded.end(saga_id)
    return None if end == expected else f"expected {expected}, got {end}"


def run_matrix(url: str, params: bytes) -> int:
    recorded = Recorded(url)
    unharmed = SagaId(uuid4())
    if in_a_process(partial(create_and_run, url, unharmed, params, [])):
        return 1
    expected = recorded.end(unharmed)
    events = recorded.log(unharmed)
    failures = 0
    for node_name, kind in events:
        for when in ("before", "after"):
            point = CrashAt(node_name, EventKind(kind), when)
            problem = complaint(url, recorded, params, point, expected=expected)
            if problem is not None:
                failures += 1
                print(f"{point}: {problem}", flush=True)
    print(f"{2 * len(events)} crashes, {failures} failures; the saga is {expected.state}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(run_matrix(sys.argv[1], sys.argv[2].encode()))
