"""The watchdog: a shell that cleans up if this process is killed.

It blocks on a pipe whose only writer is this process (close-on-exec, like every descriptor that Python opens), in a
session of its own, so that no terminal reaches it. One line says one thing:

    child PID IDENTITY    kill this process, and the group it leads, if it is still the one with this identity
    gone PID              forget that child: it has been reaped
    postgres DIRECTORY    stop the server whose pid is in DIRECTORY/postmaster.pid
    remove PATH           then remove this file or directory
    keep PATH             do not remove it after all
    parent PATH           then remove this directory if nothing is in it any more
    end                   the launcher has cleaned up by itself

The same lines go to a journal first, from which the next start cleans up if the watchdog died as well (`sweep.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from simstack.process_identity import process_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simstack.directory import StackDirectory

SCRIPT = Path(__file__).with_name("watchdog.sh")
CLEAN_UP_TIMEOUT_S = 10.0

END_TIMEOUT_S = 1.0
"""For a watchdog that has nothing to clean up."""

RESTART_PAUSE_S = 0.1
"""Between two watchdogs that did not live: a system where none can be started is no reason to be busy."""


class Watchdog:
    """Told of everything that must not outlive this process. Any thread may call any method.

    The methods block for a moment: a write to a pipe; and where there is no /proc, `child` waits for a `ps`.
    """

    def __init__(self, directory: StackDirectory) -> None:
        self._directory = directory.path
        self._journal_path = directory.journal_path
        self._owner_lock = directory.owner_lock
        self._lock = threading.Lock()
        self._children: set[int] = set()
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._start()

    def child(self, pid: int) -> None:
        """Kill this child, which must not have been reaped yet, and its process group."""
        identity = process_identity(pid)
        if identity is None:
            return
        with self._lock:
            self._children.add(pid)
        self._say(f"child {pid} {identity}")

    def gone(self, pid: int) -> None:
        """The child has been reaped."""
        with self._lock:
            self._children.discard(pid)
        self._say(f"gone {pid}")

    def postgres(self, data_directory: Path) -> None:
        """Stop the server that runs, now or later, on this data directory."""
        self._say(f"postgres {data_directory}")

    def remove(self, path: Path) -> None:
        """Remove this file or directory, which need not exist yet."""
        self._say(f"remove {path}")

    def keep(self, path: Path) -> None:
        """Take back `remove`."""
        self._say(f"keep {path}")

    def remove_if_empty(self, path: Path) -> None:
        """Remove this directory, last of all, if nothing is in it."""
        self._say(f"parent {path}")

    async def keep_running(self) -> None:
        """Put another in the place of a watchdog that was killed, at once. A task for who opened it.

        Never returns unless cancelled, which is safe at any time and must be done before `close`. Without this task, a
        watchdog is replaced when there is something to tell it.
        """
        while True:
            process = self._process
            # Left behind when cancelled, the thread ends with the watchdog.
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
            with suppress(OSError):  # no process, no descriptor: there may be one later
                await trio.to_thread.run_sync(self._replace_dead, process)
            await trio.sleep(RESTART_PAUSE_S)

    def close(self) -> None:
        """End the watchdog, which cleans up nothing, unless a child was never reported gone."""
        if not self._children:
            self._say("end")
        os.close(self._pipe)
        os.close(self._journal)
        self._process.send_signal(signal.SIGCONT)  # somebody may have stopped it
        try:
            self._process.wait(CLEAN_UP_TIMEOUT_S if self._children else END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        reader, writer = os.pipe()
        try:
            # It holds the stack's lock too: the directory is nobody else's while it is being cleaned up.
            self._process = subprocess.Popen(
                ["/bin/sh", str(SCRIPT), "watchdog", str(self._directory)],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                pass_fds=(self._owner_lock,),
            )
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        self._pipe = writer

    def _say(self, line: str) -> None:
        if "\n" in line:
            raise ValueError(f"a path with a line break cannot be cleaned up: {line!r}")
        message = f"{line}\n".encode()
        with self._lock:
            os.write(self._journal, message)
            try:
                os.write(self._pipe, message)
            except BrokenPipeError:  # somebody killed it
                self._replace()

    def _replace_dead(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._process is process:  # else `_say` has noticed first
                self._replace()

    def _replace(self) -> None:
        """Reap the watchdog and tell another one everything. The lock is held."""
        self._process.wait()
        dead_pipe = self._pipe
        self._start()
        os.close(dead_pipe)
        with suppress(BrokenPipeError):
            os.write(self._pipe, self._journal_path.read_bytes())


@contextmanager
def watching(directory: StackDirectory) -> Iterator[Watchdog]:
    """A watchdog over a stack's directory. Everything it was told of must have been cleaned up inside."""
    watchdog = Watchdog(directory)
    try:
        if not directory.keep:
            watchdog.remove(directory.path)
            watchdog.remove_if_empty(directory.path.parent)
        yield watchdog
    finally:
        watchdog.close()


def clean_up_after(journal: Path) -> None:
    """Do what the watchdog of a launcher that is dead would have done. Blocks."""
    with journal.open("rb") as lines, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["/bin/sh", str(SCRIPT), "sweep", str(journal.parent)],
            stdin=lines,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            timeout=CLEAN_UP_TIMEOUT_S,
            check=False,
        )
