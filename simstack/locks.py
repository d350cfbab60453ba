"""Advisory file locks (`flock`): released by the kernel when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_S = 0.02
"""A blocking flock in a worker thread could not be given up, so a waiter asks again this often."""


class LockMode(Enum):
    SHARED = fcntl.LOCK_SH
    EXCLUSIVE = fcntl.LOCK_EX


def try_flock(fd: int, mode: LockMode = LockMode.EXCLUSIVE) -> bool:
    """Lock an open file now, or return False."""
    try:
        fcntl.flock(fd, mode.value | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def flocked(path: Path, mode: LockMode, *, timeout_s: float) -> Iterator[None]:
    """Hold the lock on `path`, a file that is made if it is missing and stays.

    Raises TimeoutError when `timeout_s` ran out; 0 asks once.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not try_flock(fd, mode):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path} is still locked by another process after {timeout_s:g} s")
            time.sleep(POLL_S)
        yield
    finally:
        os.close(fd)
