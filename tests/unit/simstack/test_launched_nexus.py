from __future__ import annotations

import signal

import pytest

from simstack.exit_status import ExitStatus
from simstack.launched_nexus import Ending, was_asked_for


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
