"""DBOS Transact for Python, doing what the benched saga does: a workflow of one step, which returns at once.

A program of its own, run by the Python of the peer's environment: it has DBOS and none of our packages. It does one
thing, prints its figures as JSON, and ends:

    python dbos_child.py DATABASE_URL throughput COUNT   {"per_s": ...}
    python dbos_child.py DATABASE_URL sequential COUNT   {"p50_s": ...}
    python dbos_child.py DATABASE_URL park COUNT KEY     {"parked": ...}, and waits to be killed
    python dbos_child.py DATABASE_URL recover COUNT KEY  {"ended_s": ...}: every one of those parked, waited for
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, SetWorkflowID

THREADS = 32
"""The fastest of 8, 32, 64 and 256, and of workflows that are coroutines."""

WARM_UP = 100

URL, WHAT, COUNT, KEY = sys.argv[1], sys.argv[2], int(sys.argv[3]), "".join(sys.argv[4:])

parked = threading.Semaphore(0)


@DBOS.step()
def act(number: int) -> int:
    if WHAT == "park":
        parked.release()
        threading.Event().wait()
    return number


@DBOS.workflow()
def run(number: int) -> int:
    return act(number)


def throughput() -> dict[str, float]:
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(run, range(WARM_UP)))
        start = time.perf_counter()
        list(threads.map(run, range(COUNT)))
        return {"per_s": COUNT / (time.perf_counter() - start)}


def sequential() -> dict[str, float]:
    samples = []
    for number in range(WARM_UP + COUNT):
        start = time.perf_counter()
        run(number)
        samples.append(time.perf_counter() - start)
    return {"p50_s": statistics.median(samples[WARM_UP:])}


def park() -> dict[str, float]:
    for number in range(COUNT):
        with SetWorkflowID(f"{KEY}-{number}"):
            DBOS.start_workflow(run, number)
    for _ in range(COUNT):
        parked.acquire()
    return {"parked": COUNT}


def recover() -> dict[str, float]:
    for number in range(COUNT):
        DBOS.retrieve_workflow(f"{KEY}-{number}").get_result()
    return {"ended_s": time.perf_counter() - launched_at}


DBOS(
    config={
        "name": "bench",
        "system_database_url": URL,
        "application_version": "1",
        "log_level": "ERROR",
        **({"max_executor_threads": COUNT + THREADS} if WHAT == "park" else {}),
    }
)
launched_at = time.perf_counter()
DBOS.launch()
measure = {"throughput": throughput, "sequential": sequential, "park": park, "recover": recover}[WHAT]
print(json.dumps(measure()), flush=True)
if WHAT == "park":
    threading.Event().wait()
DBOS.destroy()
