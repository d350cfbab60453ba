"""`xtask omicron-dev down`: end a running stack from another terminal, and wait until nothing of it is left."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from simstack.directory import LOCK_NAME
from simstack.locks import try_flock
from simstack.process_identity import UNKNOWN, process_identity
from xtask.refusal import Refused
from xtask.running_stack import order, say

if TYPE_CHECKING:
    from simstack.facts import StackStatus

DOWN_TIMEOUT_S = 60.0
"""The stack's own deadlines are far below that, and its watchdog has 10 s."""

POLL_S = 0.02


def take_down(stack: StackStatus) -> None:
    """Raises Refused when the stack does not want to end, or something of it is left after DOWN_TIMEOUT_S."""
    directory = Path(stack.facts.directory)
    launcher = stack.facts.pid
    identity = process_identity(launcher)
    # Held by the launcher and its watchdog for as long as either lives. It can be locked even when it is removed.
    lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    try:
        order(stack, "down")
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        while not try_flock(lock) or (identity != UNKNOWN and process_identity(launcher) == identity):
            if time.monotonic() > deadline:
                raise Refused(f"stack {stack.facts.name} (pid {launcher}) is not gone after {DOWN_TIMEOUT_S:g} s")
            time.sleep(POLL_S)
    finally:
        os.close(lock)
    kept = f"; its logs are kept in {directory}" if directory.exists() else ""
    say(f"stack {stack.facts.name} (pid {launcher}) is gone{kept}")
