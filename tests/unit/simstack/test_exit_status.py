"""How a child ended, in words."""

from __future__ import annotations

import signal

import pytest

from simstack.exit_status import ExitStatus


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "exited with status 0"),
        (1, "exited with status 1"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-63, "killed by signal 63"),
    ],
)
def test_text(returncode: int, text: str) -> None:
    assert str(ExitStatus(returncode)) == text
