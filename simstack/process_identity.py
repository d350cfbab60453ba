"""What tells a process from a later one that got the same pid: when it started.

The same text is computed by `watchdog.sh`, which compares it before it kills. Where `/proc` is this system's own it is
`BOOT-ID/TICKS`, else what `ps -o lstart=` prints, else `UNKNOWN`.
"""

from __future__ import annotations

import os
import subprocess

UNKNOWN = "?"
"""The start time cannot be known here (`/proc` of another pid namespace, or no `ps`)."""


def process_identity(pid: int) -> str | None:
    """The identity of a running process; None when it is gone, or dead and not yet reaped."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return UNKNOWN  # mounted for another pid namespace, so `ps` is misled too
    except OSError:
        return _identity_by_ps(pid)
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot_id()}/{start_ticks}"


def boot_id() -> str:
    """What differs between two boots of this machine, as far as the system tells; never fails."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return _output(["sysctl", "-n", "kern.boottime"]).replace(" ", "").replace("/", "") or "unknown"


def _identity_by_ps(pid: int) -> str | None:
    words = _output(["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]).split()
    if not words:
        return None if _output(["ps", "-o", "pid=", "-p", str(os.getpid())]) else UNKNOWN
    return None if words[0].startswith("Z") else " ".join(words[1:])


def _output(argv: list[str]) -> str:
    try:
        completed = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ | {"LC_ALL": "C"},
            check=False,
        )
    except OSError:
        return ""
    return completed.stdout
