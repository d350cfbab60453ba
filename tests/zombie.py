"""Stops a process that runs sagas at random instants, has another adopt and finish them, and lets the first go on.

    python tests/zombie.py DATABASE_URL ROUNDS SEED

In every round the *holder* has some sagas that only wait and runs others one after the other. At an instant made from
the seed it gets SIGSTOP, whatever it is doing or has locked. The *heir*, another SEC, adopts all it has, releases what
waits, and brings all to their end. The holder gets SIGCONT after that, or in every other round as soon as the adoption
is committed. Then the database is looked at: no event of an older claim is in any log that was not there when the
sagas had been adopted; and the holder is asked: it must have noticed what it lost, also of the sagas that only wait,
and have stopped it.

Prints one line for each round that does not hold, and exits with 1. The processes are forked, so that each has but
little to do; this one uses no thread, and no trio.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import UUID, uuid4

import msgspec
import psycopg
import trio
from small_nexus import SmallNexus, small_nexus

from nexus.background.driver import utc_now
from nexus.background.tasks.saga_recovery import SagaRecovery
from nexus.ids import NexusId
from nexus.quiesce.gate import QuiesceGate
from nexus.saga import SagaId, SagaLost, SagaNotFound, SagaRunning, SecId, StoreUnavailable
from nexus.sagas.provision import NODES, ProvisionParams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import TextIO

HOLDER = SecId(UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"))
HEIR = SecId(UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f"))

WAITING = 10
RUNNING = 16
LONGEST_RUN_S = 0.3
CLAIM_CHECK_PERIOD_S = 0.2
"""Instead of 10 s, for the sake of this test's duration."""

DEADLINE_S = 60
"""Only bounds what hangs. What a stopped process has locked is free after 5 s, see `nexus.saga.postgres.fence`."""

LOAD = (ProvisionParams(), ProvisionParams(fail=("server",)), ProvisionParams(fail=("network/interface",)))

READ_OLDER_EVENTS = """
SELECT event.saga_id::text, node_id, event_type, event.claim, log_index, event_time <= adopted.time
FROM saga_node_event AS event JOIN saga_claim AS adopted ON adopted.saga_id = event.saga_id
WHERE adopted.reason = 'adopted' AND event.claim < adopted.claim AND event.saga_id = ANY(%s)
ORDER BY 1, log_index
"""

READ_LOG = """
SELECT node_id, event_type, event.claim, log_index, event.creator = taken.sec_id
FROM saga_node_event AS event LEFT JOIN saga_claim AS taken
  ON taken.saga_id = event.saga_id AND taken.claim = event.claim
WHERE event.saga_id = %s ORDER BY log_index
"""

READ_SAGA = "SELECT saga_state, current_sec, saga_dag FROM saga WHERE id = %s"
READ_RESOURCES = "SELECT name FROM provisioned_resource WHERE saga_id = %s"


class RoundFailed(Exception):
    """What is wrong, in one line."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise RoundFailed(what)


# --- the two processes -----------------------------------------------------------------------------------------------


class Tell:
    """A child's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "w", buffering=1)

    def __call__(self, **news: object) -> None:
        self._file.write(json.dumps(news, default=str) + "\n")


async def hold(url: str, seed: int, tell: Tell) -> None:
    rng = random.Random(seed)
    with patch("nexus.saga.sec.CLAIM_CHECK_PERIOD_S", CLAIM_CHECK_PERIOD_S):
        async with small_nexus(url, HOLDER, deadline_s=DEADLINE_S) as nexus:
            quiesce = QuiesceGate(NexusId(nexus.sec.sec_id), now=utc_now)
            recovery = SagaRecovery(nexus.sec, quiesce=quiesce, log=nexus.log, now=utc_now)
            await recovery.activate()
            over = trio.Event()

            async def run_one(saga_id: SagaId, params: ProvisionParams) -> None:
                (dag,) = nexus.catalog.types.dags("provision", msgspec.json.encode(params), count=1)
                try:
                    await nexus.sec.create(saga_id, dag)
                    await nexus.sec.wait_ended(saga_id)
                except (SagaLost, SagaNotFound, StoreUnavailable):
                    over.set()

            async def load() -> None:
                while not over.is_set():
                    await run_one(SagaId(uuid4()), rng.choice(LOAD))

            async with trio.open_nursery() as nursery:
                waiting = [SagaId(uuid4()) for _ in range(WAITING)]
                for saga_id in waiting:
                    nursery.start_soon(run_one, saga_id, ProvisionParams(hold=("disk",)))
                while not all(map(nexus.catalog.holds.held, waiting)):
                    await trio.lowlevel.checkpoint()
                for _ in range(RUNNING):
                    nursery.start_soon(load)
                tell(waiting=waiting)
            report = await recovery.activate()
            tell(
                lost=[fields["saga_id"] for _, event, fields in nexus.log.lines if event.startswith("saga lost;")],
                running=[status.saga_id for status in nexus.sec.sagas() if isinstance(status.state, SagaRunning)],
                held=[saga_id for saga_id in waiting if nexus.catalog.holds.held(saga_id)],
                lost_to_adoption=report.ntotal_lost_to_adoption,
                new_secs=sorted({str(loss.new_sec) for loss in report.recent_losses}),
                errors=report.ntotal_sec_errors_missing + report.ntotal_sec_errors_bad_state,
            )


async def adopt_and_finish(url: str, tell: Tell) -> None:
    async with small_nexus(url, HEIR, deadline_s=DEADLINE_S) as nexus:
        start = time.monotonic()
        adoption = await nexus.store.adopt([HOLDER], sec_id=HEIR)
        tell(moved=adoption.moved, not_moved=adoption.not_moved, took_s=time.monotonic() - start)
        async with trio.open_nursery() as nursery:
            for saga_id in adoption.moved:
                nursery.start_soon(finish, nexus, saga_id)
        tell(finished=True)


async def finish(nexus: SmallNexus, saga_id: SagaId) -> None:
    await nexus.sec.recover(saga_id)
    nexus.catalog.holds.release(saga_id, "disk", nexus.sec)
    await nexus.sec.wait_ended(saga_id)


# --- the one that starts, stops and looks ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Child:
    pid: int
    news: TextIO

    def told(self, name: str) -> Any:
        """Wait for the next line, which must have this member."""
        line = self.news.readline()
        check(bool(line), f"a process ended before it told {name}")
        news = json.loads(line)
        check(name in news, f"{name} was to be told, not {line}")
        return news


@contextmanager
def child(run: Callable[[Tell], Awaitable[None]]) -> Iterator[Child]:
    """A process of its own, which must end well once the block is over."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        try:
            trio.run(run, Tell(writing))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    ended_well, code = False, 1
    with os.fdopen(reading) as news:
        try:
            yield Child(pid, news)
            ended_well = not news.read()
        finally:
            with suppress(ProcessLookupError, ChildProcessError):  # if it was waited for already
                if not ended_well:
                    os.kill(pid, signal.SIGKILL)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    check(code == 0, f"a process ended with {code}")


def run_round(url: str, connection: psycopg.Connection, seed: int, *, wait_for_the_end: bool) -> tuple[int, float]:
    """Returns how many sagas were adopted, and how long that took. Raises RoundFailed."""
    with child(partial(hold, url, seed)) as holder:
        waiting = set(holder.told("waiting")["waiting"])
        time.sleep(random.Random(seed).uniform(0, LONGEST_RUN_S))
        os.kill(holder.pid, signal.SIGSTOP)
        _, status = os.waitpid(holder.pid, os.WUNTRACED)
        check(os.WIFSTOPPED(status), "the holder had ended before it was stopped")
        with child(partial(adopt_and_finish, url)) as heir:
            adoption = heir.told("moved")
            moved = set(adoption["moved"])
            check(not adoption["not_moved"], f"not adopted: {adoption['not_moved']}")
            check(waiting <= moved, f"waiting, and not adopted: {waiting - moved}")
            before = connection.execute(READ_OLDER_EVENTS, (list(moved),)).fetchall()
            if not wait_for_the_end:
                os.kill(holder.pid, signal.SIGCONT)
            heir.told("finished")
        os.kill(holder.pid, signal.SIGCONT)
        report = holder.told("lost")
    check_holder(report, moved)
    after = connection.execute(READ_OLDER_EVENTS, (list(moved),)).fetchall()
    check(before == after, f"events under older claims since the adoption: {sorted({*after} - {*before})}")
    check(all(row[-1] for row in after), "an event under an older claim is from after the adoption")
    for saga_id in moved:
        check_saga(connection, saga_id)
    return len(moved), adoption["took_s"]


def check_holder(report: dict[str, Any], moved: set[str]) -> None:
    check(set(report["lost"]) == moved, f"lost: {set(report['lost']) ^ moved} more or less than was adopted")
    check(len(report["lost"]) == report["lost_to_adoption"], f"reported as lost: {report['lost_to_adoption']}")
    check(report["new_secs"] == [str(HEIR)], f"lost to {report['new_secs']}")
    check(not report["running"], f"still running: {report['running']}")
    check(not report["held"], f"not cancelled: {report['held']}")
    check(not report["errors"], f"{report['errors']} sagas were taken for finished")


def check_saga(connection: psycopg.Connection, saga_id: str) -> None:
    """Whole, written by the holders of its claims one after the other, and at the end that its parameters ask for."""
    ((state, owner, dag),) = connection.execute(READ_SAGA, (saga_id,)).fetchall()
    check((state, owner) == ("done", HEIR), f"saga {saga_id} is {state}, owned by {owner}")
    log = connection.execute(READ_LOG, (saga_id,)).fetchall()
    check([row[3] for row in log] == list(range(len(log))), f"saga {saga_id} has a gap in its log")
    check([row[2] for row in log] == sorted(row[2] for row in log), f"saga {saga_id}: an older claim wrote last")
    check(all(row[4] for row in log), f"saga {saga_id}: an event is not by the holder of its claim")
    (start,) = (node["Start"] for node in dag["graph"]["nodes"] if "Start" in node)
    fails = bool(start["params"]["fail"])
    check(any(row[1] == "failed" for row in log) == fails, f"saga {saga_id} failed, or did not, as it should not")
    left = {row[0]: row[1] for row in log}
    undone = [node for node, kind in left.items() if kind in ("failed", "undo_finished")]
    check(len(undone) == (len(left) if fails else 0), f"saga {saga_id} ended with {left}")
    resources = {row[0] for row in connection.execute(READ_RESOURCES, (saga_id,))}
    check(resources == (set() if fails else set(NODES)), f"saga {saga_id} left {resources}")


def main(url: str, rounds: int, first_seed: int) -> int:
    failures = 0
    adopted = 0
    longest_s = 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        for seed in range(first_seed, first_seed + rounds):
            try:
                moved, took_s = run_round(url, connection, seed, wait_for_the_end=bool(seed % 2))
            except RoundFailed as error:
                failures += 1
                print(f"seed {seed}: {error}", flush=True)
            else:
                adopted += moved
                longest_s = max(longest_s, took_s)
    print(f"{rounds} rounds, {failures} failures; {adopted} sagas adopted, in at most {longest_s:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
