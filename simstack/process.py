"""Child processes: each in its own session, with its own log file, owned by one task from start to reaping.

    child = await nursery.start(partial(run_child, spec, socket_directory=…, watchdog=watchdog))
    notices = await child.wait_ready()          # raises ChildExited if it ends before
    status = await child.wait_exit()            # "killed by SIGKILL"

The owner task returns when the child has ended. Cancelling it ends the child: SIGTERM, a deadline, SIGKILL, and in any
case it is reaped. A child that is stopped (SIGSTOP) is continued to take the SIGTERM, and killed like any other.
If this process is killed, the watchdog kills the child.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from simstack.errors import SimstackError
from simstack.exit_status import ExitStatus
from simstack.notify import VARIABLE, Notices, NotifyListener, notify_listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from simstack.watchdog import Watchdog

TERMINATE_GRACE_S = 1.0
PAUSE_POLL_S = 0.001
"""A process stands still within microseconds of SIGSTOP, unless it waits for a disk."""

LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 16384


class ChildExited(SimstackError):
    """A child ended before it was ready."""

    def __init__(self, child: Child, status: ExitStatus) -> None:
        super().__init__(f"{child.spec.name} {status} before it was ready (log: {child.spec.log_path})")
        self.child = child
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    name: str
    """Unique among the children of a stack; part of a file name."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment, to which `NOTIFY_SOCKET` is added."""
    cwd: Path
    log_path: Path
    """Standard output and error are appended to it."""


class Child:
    """A running child, or one that has ended. Its owner task is `run_child`."""

    def __init__(self, spec: ChildSpec, process: trio.Process, listener: NotifyListener) -> None:
        self.spec = spec
        self.pid = process.pid
        self._process = process
        self._listener = listener
        self._exited = trio.Event()
        self._was_paused = False
        self.exit_status: ExitStatus | None = None
        """None until it has ended and was reaped."""

    @property
    def notices(self) -> Notices:
        """What it has said about itself so far."""
        return self._listener.latest

    def notices_as_they_come(self) -> AsyncIterator[Notices]:
        """What it has said now, and again whenever that changes, until it ends. A slow reader gets the latest alone."""
        return _NoticeStream(self)

    async def changed(self) -> None:
        """Return when it has said something new, or has ended."""
        await self._listener.changed()

    async def wait_ready(self) -> Notices:
        """Return when it has said READY=1. Raises ChildExited if it ends without."""
        while not self.notices.ready:
            if self.exit_status is not None:
                raise ChildExited(self, self.exit_status)
            await self.changed()
        return self.notices

    async def wait_exit(self) -> ExitStatus:
        """Return when it has ended and was reaped."""
        await self._exited.wait()
        assert self.exit_status is not None, "a child that was reaped has no status"
        return self.exit_status

    def log_tail(self, *, lines: int = LOG_TAIL_LINES) -> str:
        """The end of its log, at most so many lines."""
        return log_tail(self.spec.log_path, lines=lines)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing once it has been reaped."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    def pause(self) -> None:
        """Stop it in its tracks, as a debugger or a frozen machine would. It stands still a moment later."""
        self._was_paused = True
        self.send_signal(signal.SIGSTOP)

    @property
    def is_paused(self) -> bool:
        """Whether it stands still at this moment, whoever paused it."""
        if self._process.returncode is not None:
            return False
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._was_paused
        try:
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # it is dead and waits to be reaped
            return False

    async def wait_paused(self) -> None:
        """Return when it stands still, or has ended."""
        while not self.is_paused and self.exit_status is None:  # noqa: ASYNC110  (nothing here is told by an event)
            await trio.sleep(PAUSE_POLL_S)

    def resume(self) -> None:
        self._was_paused = False
        self.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it as kill -9 does, and what it has started in its session's first process group."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, *, grace_s: float = TERMINATE_GRACE_S) -> ExitStatus:
        """End it: SIGTERM, then after `grace_s` SIGKILL. Returns when it has ended; may be called twice."""
        self.send_signal(signal.SIGTERM)
        self.resume()
        with trio.move_on_after(grace_s):
            await self._exited.wait()
        self.kill()
        return await self.wait_exit()

    async def _end(self, *, grace_s: float) -> None:
        """Make sure that it has ended, reap it, and tell everybody who waits."""
        if self._process.returncode is None:
            self.send_signal(signal.SIGTERM)
            self.resume()
            with trio.move_on_after(grace_s):
                await self._process.wait()
            self.kill()
        returncode = await self._process.wait()
        self._listener.drain()
        self.exit_status = ExitStatus(returncode)
        self._exited.set()
        self._listener.wake()


class _NoticeStream:
    """Not an async generator, so that a loop over it may simply be left."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._seen: Notices | None = None

    def __aiter__(self) -> _NoticeStream:
        return self

    async def __anext__(self) -> Notices:
        while self._child.notices == self._seen:
            if self._child.exit_status is not None:
                raise StopAsyncIteration
            await self._child.changed()
        self._seen = self._child.notices
        return self._seen


async def run_child(
    spec: ChildSpec,
    *,
    socket_directory: Path,
    watchdog: Watchdog | None = None,
    grace_s: float = TERMINATE_GRACE_S,
    task_status: trio.TaskStatus[Child] = trio.TASK_STATUS_IGNORED,
) -> ExitStatus:
    """Own a child: start it, hand it over by `task_status`, return when it has ended.

    `socket_directory` must be closed to other users. Raises OSError when the child cannot be started. When cancelled,
    ends the child first, which takes `grace_s` and a moment at most.
    """
    with notify_listener(socket_directory, name=spec.name) as listener:
        process = await _start(spec, listener)
        child = Child(spec, process, listener)
        try:
            if watchdog is not None:
                if listener.fallback is not None:
                    watchdog.remove(listener.fallback)
                await trio.to_thread.run_sync(watchdog.child, child.pid)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listener.run)
                task_status.started(child)
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            # Bounded: SIGKILL ends whatever the grace did not.
            with trio.CancelScope(shield=True):
                await child._end(grace_s=grace_s)
                if watchdog is not None:
                    await trio.to_thread.run_sync(watchdog.gone, child.pid)
        return await child.wait_exit()


async def _start(spec: ChildSpec, listener: NotifyListener) -> trio.Process:
    with spec.log_path.open("ab") as log:
        return await trio.lowlevel.open_process(
            spec.argv,
            stdin=subprocess.DEVNULL,
            stdout=log.fileno(),
            stderr=subprocess.STDOUT,
            env={**spec.env, VARIABLE: str(listener.path)},
            cwd=spec.cwd,
            start_new_session=True,
        )


def log_tail(path: Path, *, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log; empty if there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
