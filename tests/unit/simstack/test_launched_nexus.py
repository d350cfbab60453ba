from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest
import trio
import trio.testing

from dropshot.address import SocketAddr
from simstack.errors import SimstackError
from simstack.exit_status import ExitStatus
from simstack.launched_nexus import Ending, LaunchedNexus, Run, was_asked_for
from simstack.notify import Notices
from simstack.stack_plan import PlannedNexus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simstack.process import Child


@pytest.mark.parametrize(
    ("ending", "returncode", "expected"),
    [
        (None, 0, False),
        (None, -signal.SIGKILL, False),
        ("killed", -signal.SIGKILL, True),
        ("killed", 1, False),
        ("killed", -signal.SIGSEGV, False),
        ("stopped", 0, True),
        ("stopped", -signal.SIGTERM, True),
        ("stopped", -signal.SIGKILL, True),
        ("expunged", 0, True),
        ("expunged", 1, False),
        ("stopped", 1, False),
        ("stopped", -signal.SIGABRT, False),
    ],
)
def test_only_the_death_that_was_asked_for_is_no_news(ending: Ending | None, returncode: int, expected: bool) -> None:
    assert was_asked_for(ending, ExitStatus(returncode)) is expected


class FakeChild:
    """What is seen of a process that is never ready, and ends when it is told to."""

    def __init__(self) -> None:
        self.pid = 1
        self.is_paused = False
        self.exit_status: ExitStatus | None = None
        self.run = Run(cast("Child", self))

    async def notices_as_they_come(self) -> AsyncIterator[Notices]:
        yield Notices()
        await self.run.ended.wait()

    async def stop(self, *, grace_s: float) -> None:
        self.exit_status = ExitStatus(0)
        self.run.ended.set()

    async def wait_exit(self) -> ExitStatus:
        assert self.exit_status is not None
        return self.exit_status


def launched_nexus(child: FakeChild) -> LaunchedNexus:
    async def launch(_nexus: LaunchedNexus) -> Run:
        return child.run

    planned = PlannedNexus(id=UUID(int=2), external_address=SocketAddr("::1", 1), internal_address=SocketAddr("::1", 2))
    return LaunchedNexus(2, planned, config_path=Path("nexus2.toml"), log_path=Path("nexus2.log"), launch=launch)


async def test_it_can_be_asked_while_it_runs_and_is_not_expunged() -> None:
    child = FakeChild()
    nexus = launched_nexus(child)
    assert not nexus.can_be_asked
    await nexus.launch()
    assert nexus.can_be_asked
    child.is_paused = True
    assert not nexus.can_be_asked
    child.is_paused = False
    nexus.is_expunged = True
    assert not nexus.can_be_asked
    nexus.is_expunged = False
    child.exit_status = ExitStatus(0)
    assert not nexus.can_be_asked


WHO = f"nexus2 {UUID(int=2)}"
NEVER = "is expunged, and never comes back; `nexus add` starts another"


async def test_an_expunged_one_is_not_started() -> None:
    child = FakeChild()
    nexus = launched_nexus(child)
    nexus.is_expunged = True
    for start in (nexus.start, nexus.restart):
        with pytest.raises(SimstackError) as refused:
            await start()
        assert str(refused.value) == f"{WHO} {NEVER}"
    assert not nexus.is_running


async def test_an_expunged_one_that_runs_on_is_not_ended_by_a_restart() -> None:
    nexus = launched_nexus(FakeChild())
    await nexus.launch()
    nexus.is_expunged = True
    with pytest.raises(SimstackError, match=NEVER):
        await nexus.restart()
    assert nexus.is_running


@pytest.mark.parametrize(("end", "why"), [("stop", "another command has ended it"), ("end_expunged", NEVER)])
async def test_a_start_says_who_has_ended_it(end: str, why: str) -> None:
    nexus = launched_nexus(FakeChild())
    said: list[str] = []

    async def start() -> None:
        with pytest.raises(SimstackError) as failed:
            await nexus.start()
        said.append(str(failed.value))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await trio.testing.wait_all_tasks_blocked()
            await getattr(nexus, end)()
    assert said == [f"{WHO} (pid 1) exited with status 0 before it was ready: {why}"]
