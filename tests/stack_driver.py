"""Drives the real programs as a user does: `python -m xtask`, `python -m nexus`, `python -m omdb`, each a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).parents[1]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class Lines:
    """Lines of a child's stream as they come, kept for the assertion message."""

    def __init__(self, stream: Any) -> None:
        self.seen: list[str] = []
        self._queue: Queue[str | None] = Queue()
        self._thread = threading.Thread(target=self._pump, args=(stream,), daemon=True)
        self._thread.start()

    def _pump(self, stream: Any) -> None:
        for line in stream:
            self._queue.put(line)
        self._queue.put(None)

    def until(self, pattern: str, *, timeout_s: float = START_TIMEOUT_S) -> str:
        """The first line from here on that matches; fails with everything seen where there is none."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line matches {pattern!r} in:\n{''.join(self.seen)}")
            self.seen.append(line)
            if re.search(pattern, line):
                return line

    def wait_for_the_end(self) -> None:
        """So that nobody closes the stream while it is read."""
        self._thread.join(STOP_TIMEOUT_S)

    def rest(self) -> str:
        """Everything, once the stream has ended."""
        while (line := self._queue.get(timeout=STOP_TIMEOUT_S)) is not None:
            self.seen.append(line)
        return "".join(self.seen)


@dataclass(frozen=True)
class Program:
    """A running child with both streams read."""

    process: subprocess.Popen[str]
    stdout: Lines
    stderr: Lines

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=STOP_TIMEOUT_S)


def clean_environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMDB_")}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"} | more


@contextmanager
def program(*argv: str, cwd: Path = REPO, env: dict[str, str] | None = None) -> Iterator[Program]:
    """`python -m ARGV…`, ended by SIGKILL if the test leaves it running."""
    with subprocess.Popen(
        [sys.executable, "-m", *argv],
        cwd=cwd,
        env=env or clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        lines = Lines(process.stdout), Lines(process.stderr)
        try:
            yield Program(process, *lines)
        finally:
            if process.poll() is None:
                process.kill()
            for each in lines:
                each.wait_for_the_end()


@dataclass(frozen=True)
class RunAll:
    program: Program
    facts: dict[str, Any]

    @property
    def second_config(self) -> Path:
        return Path(self.facts["second_nexus_config"])

    @property
    def first_url(self) -> str:
        return f"http://{self.facts['nexuses'][0]['internal_address']}"


@contextmanager
def run_all(*arguments: str, env: dict[str, str] | None = None) -> Iterator[RunAll]:
    """A stack on free ports, stopped by SIGINT at the end, which must work."""
    with program(
        "xtask", "omicron-dev", "run-all", "--nexus-listen-port", "0", "--json", *arguments, env=env
    ) as launcher:
        try:
            line = launcher.stdout.until(r"^\{")
        except AssertionError as exc:
            launcher.process.kill()
            raise AssertionError(f"{exc}\nstderr:\n{launcher.stderr.rest()}") from exc
        yield RunAll(launcher, json.loads(line))
        if launcher.process.poll() is None:
            assert launcher.stop() == 0, launcher.stderr.rest()


@contextmanager
def nexus(config: Path, *, cwd: Path = REPO) -> Iterator[tuple[Program, str]]:
    """A Nexus started by hand: yields it and the URL of its internal API."""
    with program("nexus", str(config), cwd=cwd) as running:
        line = running.stderr.until(r"listening, local_addr: .*component: dropshot_internal")
        found = re.search(r"local_addr: (\S+),", line)
        assert found is not None
        running.stderr.until(r"listening, local_addr: .*component: dropshot_external")
        yield running, f"http://{found[1]}"


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


def processes_of(place: str) -> dict[int, str]:
    """Processes that have something in the directory `place`, or the file `place` at the end, on their command line.

    Postgres, Nexuses and the watchdog of a stack all name its directory.
    """
    ps = ["ps", "-ww", "-e", "-o", "pid=", "-o", "stat=", "-o", "args="]  # without -ww a line may be cut
    listed = subprocess.run(ps, capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()]
    return {int(pid): args for pid, state, args in lines if f"{place}/" in f"{args}/" and not state.startswith("Z")}


def omdb(*argv: str, env: dict[str, str] | None = None) -> Result:
    """Run one omdb command to its end."""
    return _run_to_the_end("omdb", *argv, env=env)


def xtask(*argv: str) -> Result:
    """Run one xtask command to its end."""
    return _run_to_the_end("xtask", *argv)


def _run_to_the_end(*argv: str, env: dict[str, str] | None = None) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=REPO,
        env=clean_environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STOP_TIMEOUT_S,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def eventually(get: Any, wanted: Any, *, timeout_s: float = 10.0) -> None:
    """Ask until the answer is `wanted`: for what follows an acknowledgement at once, but not in it."""
    deadline = time.monotonic() + timeout_s
    while (got := get()) != wanted:
        assert time.monotonic() < deadline, f"still {got!r}, not {wanted!r}"
