"""The order in which a Nexus comes to its end, without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
import trio
from blueprint_lab import FIRST_NEXUS, INITIAL

from nexus.api.quiesce_types import DrainingDb, DrainingSagas, Quiesced
from nexus.quiesce.gate import QuiesceGate
from nexus.quiesce.sequence import RETIRED, STOPPED, QuiesceSequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Sec:
    idle = True


class Pool:
    """Does nothing in a transaction but what it is told to, and keeps how it was retired."""

    def __init__(self, transact: Callable[[], object]) -> None:
        self.transact = transact
        self.retired: list[str] = []

    async def transaction(self, fn: object) -> object:
        return self.transact()

    async def retire(self, reason: str) -> None:
        self.retired.append(reason)


async def never_superseded(_connection: object) -> None:
    pass


class Drained:
    """A Nexus that has been asked to quiesce, with no saga, and the only one of its generation that is left."""

    def __init__(self) -> None:
        self.gate = QuiesceGate(FIRST_NEXUS, now=lambda: NOW)
        self.gate.see(INITIAL)
        self.gate.request()
        self.gate.sagas = self.gate.sagas.recovery_started().recovered().reassigned(INITIAL.id, moved=False)
        self.sec = Sec()
        self.pool = Pool(list)
        self.tasks_stopped: list[str] = []
        self.tasks_end = trio.Event()

    async def stop_tasks(self, reason: str) -> None:
        self.tasks_stopped.append(reason)
        await self.tasks_end.wait()

    async def quiesce(self) -> None:
        sequence = QuiesceSequence(
            FIRST_NEXUS,
            gate=self.gate,
            sec=self.sec,  # type: ignore[arg-type]
            stop_tasks=self.stop_tasks,
            pool=self.pool,  # type: ignore[arg-type]
            last_word=Pool(lambda: True),  # type: ignore[arg-type]
            guard=never_superseded,
            log=structlog.get_logger(),
        )
        await sequence.run()


async def test_the_database_is_retired_when_no_task_runs_any_more(autojump_clock: MockClock) -> None:
    nexus = Drained()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nexus.quiesce)
        await trio.sleep(600)
        assert isinstance(nexus.gate.state, DrainingDb)
        assert (nexus.tasks_stopped, nexus.pool.retired) == ([STOPPED], [])
        nexus.tasks_end.set()
    assert isinstance(nexus.gate.state, Quiesced)
    assert (nexus.tasks_stopped, nexus.pool.retired) == ([STOPPED], [RETIRED])


async def test_a_saga_that_is_recovered_at_the_last_moment_is_waited_for(autojump_clock: MockClock) -> None:
    nexus = Drained()
    nexus.tasks_end.set()

    def recover() -> list[object]:
        nexus.sec.idle = False
        return []

    nexus.pool.transact = recover
    async with trio.open_nursery() as nursery:
        nursery.start_soon(nexus.quiesce)
        await trio.sleep(600)
        assert isinstance(nexus.gate.state, DrainingSagas)
        assert nexus.tasks_stopped == []
        nexus.sec.idle, nexus.pool.transact = True, list
    assert isinstance(nexus.gate.state, Quiesced)
