from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest

from dropshot.address import SocketAddr
from simstack.exit_status import ExitStatus
from simstack.launched_nexus import Ending, LaunchedNexus, Run, was_asked_for
from simstack.stack_plan import PlannedNexus

if TYPE_CHECKING:
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
    """What is seen of a process from outside."""

    def __init__(self) -> None:
        self.pid = 1
        self.is_paused = False
        self.exit_status: ExitStatus | None = None


def launched_nexus(child: FakeChild) -> LaunchedNexus:
    async def launch(_nexus: LaunchedNexus) -> Run:
        return Run(cast("Child", child))

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
