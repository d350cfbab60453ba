"""`xtask bench sagas`: the engine beside pgbench, beside the log alone, and beside DBOS, on one Postgres.

The server syncs every commit to disk. It is that of a stack with one Nexus, through whose API the same sagas are made,
too. All that is a rate or a latency is measured in rounds, and in processes that were just started what needs them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from uuid import uuid4

import msgspec
import tomli_w
import trio

from simstack.shipped import config_file
from simstack.stack import NexusOptions, open_stack
from xtask.bench.measure import Rounds  # noqa: TC001 (cyclopts evaluates the annotation)
from xtask.bench.sagas import api, engine, floors
from xtask.bench.sagas.child import PAGE, Parked, Recovered
from xtask.bench.sagas.goals import Goals
from xtask.bench.sagas.peer import Dbos, check_installed
from xtask.bench.sagas.processes import answer_and_kill, answer_of
from xtask.bench.sagas.rounds import heading, interleave, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from simstack.facts import NexusFacts

Peer: TypeAlias = Literal["dbos"]

SYNCED = {"fsync": "on", "full_page_writes": "on"}

AT_ONCE = {1: 200, 32: 1_500, 256: 3_000, 1_024: 4_000}
"""Sagas, by how many tasks run them: enough for a second or two."""

LOG_ALONE_TASKS = 256
BULK = 3_000
SEQUENTIAL = 200
DBOS_WORKFLOWS = 500

COMPARED_RECOVERY = 1_000
RECOVERED_AND_PARKED = (1_000, 10_000)
PARKED_IN_FULL = 100_000

GOAL_OF_PGBENCH = 0.75
GOAL_OF_THE_LOG = 0.3
GOAL_OF_DBOS = 5.0
GOAL_RECOVERY_S = 1.0
GOAL_RECOVERY_OF_DBOS = 0.2
GOAL_PARKED_KIB = 12.0
GOAL_LISTING_MS = 50.0

PGBENCH = f"pgbench, {floors.PGBENCH_CLIENTS} clients"
LOG_ALONE = f"the log alone, {LOG_ALONE_TASKS} at once"
API = f"through the API, {BULK} in one request"
DBOS = "DBOS"
OURS = "the engine"
OURS_BY_API = "through the API"


def sagas(*, rounds: Rounds = 3, peer: Peer | None = None, full: bool = False) -> int:
    """Measure sagas per second, latency, recovery and memory, on a Postgres with fsync on.

    Parameters
    ----------
    rounds
        Interleaved rounds of what is measured more than once; one more comes first and warms up.
    peer
        Measure this one's workflows of one step beside our sagas.
    full
        Park 100,000 sagas, too: that takes two minutes and 1.2 GiB of memory.
    """
    if peer is not None:
        check_installed()
    with tempfile.TemporaryDirectory() as scratch:
        return trio.run(partial(_bench, Path(scratch), rounds=rounds, peer=peer, full=full))


async def _bench(scratch: Path, *, rounds: int, peer: Peer | None, full: bool) -> int:
    goals = Goals()
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"{os.cpu_count()} processors; load before the first measurement: {load}", flush=True)
    say("starting a stack")
    options = NexusOptions(config=_configuration(scratch), listen_port=0)
    async with open_stack(options, postgres_settings=SYNCED) as stack:
        url, nexus = stack.facts.database.url, stack.facts.nexuses[0]
        dbos = Dbos(url) if peer == "dbos" else None
        await _rates(url, nexus, scratch / "eight.sql", rounds, dbos, goals)
        await _latencies(url, nexus, rounds, dbos, goals)
        await _recovery(url, rounds, dbos, goals)
        await _parking(url, RECOVERED_AND_PARKED + (PARKED_IN_FULL,) * full, goals)
    return 1 if goals.missed else 0


def _configuration(scratch: Path) -> Path:
    config = tomllib.loads(config_file("config.toml").read_text(encoding="utf-8"))
    config["sagas"]["modules"] = ["xtask.bench.sagas.saga_types"]
    path = scratch / "config.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    return path


async def _rates(url: str, nexus: NexusFacts, script: Path, rounds: int, dbos: Dbos | None, goals: Goals) -> None:
    subjects: dict[str, Callable[[], Awaitable[float]]] = {
        PGBENCH: partial(floors.pgbench, url, script),
        LOG_ALONE: partial(floors.log_alone, url, tasks=LOG_ALONE_TASKS, count=AT_ONCE[LOG_ALONE_TASKS]),
    }
    in_process = {f"{OURS}, {tasks} at once": (tasks, count) for tasks, count in AT_ONCE.items()}
    for name, (tasks, count) in in_process.items():
        subjects[name] = partial(engine.sagas_per_second, url, tasks=tasks, count=count)
    subjects[API] = partial(trio.to_thread.run_sync, partial(api.sagas_per_second, url, nexus, count=BULK))
    if dbos is not None:
        subjects[DBOS] = partial(dbos.workflows_per_second, count=DBOS_WORKFLOWS)
    measured = await interleave(subjects, rounds=rounds)
    ratios = {"pgbench": PGBENCH, "the log": LOG_ALONE} | ({"DBOS": DBOS} if dbos else {})
    print(f"\nsagas per second, {rounds} interleaved rounds")
    print(heading(*ratios))
    for each in measured.values():
        print(each.row(*(measured[name] for name in ratios.values())))
    best = max(measured[name].median for name in in_process)
    goals.at_least("sagas/s, best, to pgbench", GOAL_OF_PGBENCH, best / measured[PGBENCH].median)
    goals.at_least("sagas/s, best, to the log alone", GOAL_OF_THE_LOG, best / measured[LOG_ALONE].median)
    if dbos is not None:
        goals.at_least("sagas/s, best, to DBOS", GOAL_OF_DBOS, best / measured[DBOS].median)


async def _latencies(url: str, nexus: NexusFacts, rounds: int, dbos: Dbos | None, goals: Goals) -> None:
    subjects: dict[str, Callable[[], Awaitable[float]]] = {
        OURS: partial(engine.one_after_the_other_p50_s, url, count=SEQUENTIAL),
        OURS_BY_API: partial(trio.to_thread.run_sync, partial(api.one_after_the_other_p50_s, nexus, count=SEQUENTIAL)),
    }
    if dbos is not None:
        subjects[DBOS] = partial(dbos.one_after_the_other_p50_s, count=SEQUENTIAL)
    measured = await interleave(subjects, rounds=rounds)
    print(f"\nmilliseconds from creation to end, one after the other: p50 of {SEQUENTIAL}, {rounds} interleaved rounds")
    print(heading(*(["DBOS"] if dbos else [])))
    for each in measured.values():
        print(each.row(*([measured[DBOS]] if dbos else []), factor=1000, digits=2))
    if dbos is not None:
        goals.at_most("p50 to DBOS", 1.0, measured[OURS].median / measured[DBOS].median)


async def _recovery(url: str, rounds: int, dbos: Dbos | None, goals: Goals) -> None:
    subjects: dict[str, Callable[[], Awaitable[float]]] = {OURS: partial(_recover_s, url, COMPARED_RECOVERY)}
    if dbos is not None:
        subjects[DBOS] = partial(dbos.recover_s, count=COMPARED_RECOVERY)
    measured = await interleave(subjects, rounds=rounds)
    print(f"\nseconds until {COMPARED_RECOVERY} have ended that SIGKILL had stopped, {rounds} interleaved rounds")
    print(heading(*(["DBOS"] if dbos else [])))
    for each in measured.values():
        print(each.row(*([measured[DBOS]] if dbos else []), digits=2))
    goals.at_most(f"seconds to recover {COMPARED_RECOVERY}", GOAL_RECOVERY_S, measured[OURS].median)
    if dbos is not None:
        goals.at_most("recovery to DBOS", GOAL_RECOVERY_OF_DBOS, measured[OURS].median / measured[DBOS].median)


async def _recover_s(url: str, count: int) -> float:
    sec_id = uuid4()
    await _park(url, sec_id, count)
    return (await _recover(url, sec_id, count)).ended_s


async def _parking(url: str, counts: tuple[int, ...], goals: Goals) -> None:
    print(f"\nparked sagas, once each; the first page of a listing has {PAGE}")
    print(f"{'':<36}{'KiB each':>9}{'page, ms':>9}{'loaded, s':>10}{'ended, s':>9}")
    listings: dict[int, Parked] = {}
    for count in counts:
        sec_id = uuid4()
        say(f"parking {count} sagas, and recovering them after SIGKILL")
        parked = listings[count] = await _park(url, sec_id, count)
        row = f"{f'{count} sagas':<36}{parked.kib:9.1f}{parked.listing_s * 1000:9.2f}"
        if count in RECOVERED_AND_PARKED:
            recovered = await _recover(url, sec_id, count)
            row += f"{recovered.loaded_s:10.2f}{recovered.ended_s:9.2f}"
        print(row, flush=True)
    for count, parked in listings.items():
        goals.at_most(f"KiB of resident memory per parked saga, {count} of them", GOAL_PARKED_KIB, parked.kib)
    largest = max(listings)
    goals.at_most(
        f"milliseconds for the first page of {largest} sagas", GOAL_LISTING_MS, listings[largest].listing_s * 1000
    )


async def _park(url: str, sec_id: UUID, count: int) -> Parked:
    return msgspec.json.decode(await answer_and_kill(_child(url, sec_id, "park", count)), type=Parked)


async def _recover(url: str, sec_id: UUID, count: int) -> Recovered:
    return msgspec.json.decode(await answer_of(_child(url, sec_id, "recover", count)), type=Recovered)


def _child(url: str, sec_id: UUID, what: str, count: int) -> list[str]:
    return [sys.executable, "-m", "xtask.bench.sagas.child", url, str(sec_id), what, str(count)]
