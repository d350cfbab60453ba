"""How a process dies when an injection says so."""

from __future__ import annotations

import os
import signal


def kill_this_process() -> None:
    """As `kill -9` does: nothing is flushed, closed or cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
