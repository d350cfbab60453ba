"""`xtask bench move`: how long sagas stand still whose Nexus is killed and expunged, beside plain recovery.

Plain recovery is the pass of `saga_recovery` in which a Nexus that was killed and started again resumes its own sagas.
The move lasts from the request that sets the target without that Nexus until another has resumed all of them: finding
out that nobody listens there any more, a second target, its execution, the adoption and the recovery are in it.

Each round has a stack of its own, on a Postgres that syncs every commit to disk.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import trio

from dropshot.client import request
from nexus.api.types import BackgroundTask, Completed
from nexus.clients.deployment import decode_blueprint, decode_target, edit_blueprint, set_target, view_target
from nexus.clients.nexus import check_success, create_sagas, decode_background_tasks, list_background_tasks
from nexus.deployment.edits import ExpungeZone
from nexus.ids import NexusId
from simstack.stack import NexusOptions, open_stack
from xtask.bench.measure import Rounds  # noqa: TC001 (cyclopts evaluates the annotation)

if TYPE_CHECKING:
    from nexus.api.types import CompletedDetails
    from nexus.clients.nexus import Request
    from simstack.stack import LaunchedNexus, Stack

SAGAS = 1_000
GOAL = 1.5
SYNCED = {"fsync": "on", "full_page_writes": "on"}
TIMEOUT_S = 120.0
"""Bounds a hang."""

LOOK_AGAIN_S = 0.01

CLAIMS_OF_EACH = """
SELECT count(*) FROM saga
WHERE current_sec = %s AND saga_state = 'running' AND adopt_generation = 2 AND
    (SELECT array_agg(reason ORDER BY claim) FROM saga_claim WHERE saga_id = id)
    = ARRAY['created', 'recovered', 'adopted', 'recovered']
"""
"""Sagas that were resumed by the survivor, once: of none of them there was another claim."""


def move(*, rounds: Rounds = 3) -> int:
    """Measure how long 1,000 sagas take to go on at another Nexus, as a ratio to recovering them where they were.

    Parameters
    ----------
    rounds
        Stacks that are started for it, one after the other.
    """
    print(f"seconds for {SAGAS} demo sagas, {rounds} rounds")
    print(f"{'plain recovery':>16}{'move':>9}{'ratio':>9}")
    measured = [trio.run(_round) for _ in range(rounds)]
    plain_s, moved_s = map(statistics.median, zip(*measured, strict=True))
    ratio = moved_s / plain_s
    met = ratio <= GOAL
    print(f"goal: median to median, at most {GOAL:g}; measured {ratio:.2f}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


async def _round() -> tuple[float, float]:
    options = NexusOptions(count=2, listen_port=0)
    async with open_stack(options, postgres_settings=SYNCED) as stack:
        survivor, victim = stack.nexus(1), stack.nexus(2)
        with trio.fail_after(TIMEOUT_S):
            await _ask(victim, create_sagas("demo", params=None, count=SAGAS))
            await victim.kill()
            await victim.start()
            plain_s = (await _recovery_of_all(victim)).elapsed.seconds
            await victim.kill()
            moved_s = await _move_s(stack, victim, survivor)
        print(f"{plain_s:16.2f}{moved_s:9.2f}{moved_s / plain_s:9.2f}", flush=True)
        return plain_s, moved_s


async def _move_s(stack: Stack, victim: LaunchedNexus, survivor: LaunchedNexus) -> float:
    target = decode_target(await _ask(survivor, view_target()))
    edits = [ExpungeZone(NexusId(victim.id))]
    child = decode_blueprint(
        await _ask(survivor, edit_blueprint(target.target_id, edits, comment=None, set_target=False))
    )
    start = time.perf_counter()
    await _ask(survivor, set_target(child.id, enabled=True))
    await _recovery_of_all(survivor)
    moved_s = time.perf_counter() - start
    moved = await trio.to_thread.run_sync(partial(_count_moved, stack.facts.database.url, survivor))
    if moved != SAGAS:
        raise SystemExit(f"{moved} of {SAGAS} sagas were resumed once, and run at the survivor")
    return moved_s


async def _recovery_of_all(nexus: LaunchedNexus) -> CompletedDetails:
    """Wait for a pass in which it has resumed all of them."""
    while True:
        task = decode_background_tasks(await _ask(nexus, list_background_tasks()))["saga_recovery"]
        if isinstance(task, BackgroundTask) and isinstance(task.last, Completed):
            match task.last.details.details:
                case {"last_pass": {"Success": {"nrecovered": recovered}}} if recovered == SAGAS:
                    return task.last.details
        await trio.sleep(LOOK_AGAIN_S)


def _count_moved(url: str, survivor: LaunchedNexus) -> int:
    with psycopg.connect(url) as connection:
        ((count,),) = connection.execute(CLAIMS_OF_EACH, (survivor.id,)).fetchall()
        return int(count)


async def _ask(nexus: LaunchedNexus, asked: Request) -> bytes:
    address = nexus.planned.internal_address
    response = await request(address, asked.method, asked.path, body=asked.body, timeout_s=TIMEOUT_S)
    check_success(response.status, response.body)
    return response.body
