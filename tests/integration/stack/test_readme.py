"""The README and the other walkthroughs, typed: every command of a page is run, in the terminal it names, and what it
prints is compared.

Ids, ports, times and paths are others each time. What a page says and what came instead are paired as they appear, so
that a later command that names an id of the page is run with the live one. `GOLDEN=overwrite` writes what came into
the page.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from stack_driver import REPO, START_TIMEOUT_S, STOP_TIMEOUT_S, Lines, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = REPO / "README.md"
PAGES = (README, REPO / "docs" / "generations.md")
PORTS = (12220, 12221, 12222, 12223)

BLOCK = re.compile(r"<!-- terminal (\d) -->\n```console\n(.*?)```\n", re.DOTALL)

READY = {"omicron-dev run-all": r"second Nexus config:", "-m nexus ": r"INFO ready"}
"""Programs that stay in the foreground, and the line after which the reader turns to the next terminal."""

AT_ANY_TIME = re.compile(r", component: SEC, ")
"""What is said of sagas may come before that line or after it; the page leaves it out."""

CONFIRMED = "y/N: y\n"
"""On the page: what a command asked, and the answer that was typed."""

VOLATILE = re.compile(
    r"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"|(?P<directory>/[\w/-]*omicron-dev-\d+/\d+)"
    r"|(?P<log>omicron-dev-omicron-dev\.\d+)"
    r"|(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?)"
    r"|(?P<stamp>[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{3}Z?)"
    r"|(?<=\]:)(?P<port6>\d+)"
    r"|(?<=127\.0\.0\.1:)(?P<port4>\d+)"
    r"|(?<=-p )(?P<port>\d+)"
    r"|(?P<ago>\(\d+s ago\))"
    r"|(?P<ran>\b(?:\d+s )?\d+(?:ms|us|ns)(?: \d+(?:us|ns))*\b)"
    r"|(?P<stack>(?<=stack )\d+)"
    r"|(?P<up>(?<=up )\d+s)"
    r"|(?P<pid_uptime>\b\d+ +\d+s +)"
    r"|(?P<pid>(?<=pid: ) +\d+)"
    r"|(?<=\(pid )(?P<pid_of>\d+)"
)


LOOK_AGAIN_S = 0.0 if os.environ.get("GOLDEN") == "overwrite" else 10.0
"""How long a reader looks again for what the page shows: a saga ends a moment after it was told to."""


def only_looks(command: str) -> bool:
    omdb_looks = " -m omdb " in command and not re.search(r" (-w|--destructive)\b", command)
    return omdb_looks or command.startswith("dig ")


def redacted(text: str) -> str:
    """`text` without what differs each time; nor does the width of a column count, which ids of processes change."""
    return re.sub(" {2,}", "  ", VOLATILE.sub(lambda match: f"<{match.lastgroup}>", text))


@dataclass
class Reader:
    """Somebody who follows the page with three terminals."""

    directory: Path
    env: dict[str, str]
    live: dict[str, str] = field(default_factory=dict)
    """What the page says -> what came instead."""
    foreground: dict[str, Foreground] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)

    def block(self, terminal: str, text: str) -> str:
        """Do what the block says; returns the block as it came out."""
        done: list[str] = []
        for command, documented in _commands(text):
            if command == "^C":
                self.foreground.pop(terminal).stop()
                done.append("^C\n")
                continue
            tool = next((word for word in ("psql", "dig", "curl") if re.match(rf"{word}\b", command)), None)
            if tool is not None and shutil.which(tool) is None:
                self.not_run.append(command)
                done.append(f"$ {command}\n{documented}")
                continue
            typed = VOLATILE.sub(lambda match: self.live.get(match[0], match[0]), command)
            output = self._run(terminal, typed, confirms=CONFIRMED in documented)
            deadline = time.monotonic() + LOOK_AGAIN_S
            while only_looks(typed) and redacted(output) != redacted(documented) and time.monotonic() < deadline:
                output = self._run(terminal, typed)
            pairs = zip(VOLATILE.finditer(documented), VOLATILE.finditer(output), strict=False)
            self.live |= {said[0]: came[0] for said, came in pairs}
            done.append(f"$ {typed}\n{output}")
        return f"<!-- terminal {terminal} -->\n```console\n{''.join(done)}```\n"

    def _run(self, terminal: str, command: str, *, confirms: bool = False) -> str:
        for words, ready in READY.items():
            if words in f"{command} ":
                return self._start(terminal, command, ready)
        script = f"{command}\nstatus=$?\nexport -p > exports\nexit $status\n"
        with typing("y\n") if confirms else nullcontext(subprocess.DEVNULL) as stdin:
            ran = subprocess.run(
                ["bash", "-c", script],
                cwd=self.directory,
                env=self.env | self.exports,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=START_TIMEOUT_S,
                check=False,
            )
        exported = (self.directory / "exports").read_text()
        self.exports = dict(re.findall(r'^declare -x (OMDB_\w+)="(.*)"$', exported, re.MULTILINE))
        return ran.stdout.replace("y/N: ", CONFIRMED) if confirms else ran.stdout

    def _start(self, terminal: str, command: str, ready: str) -> str:
        program = Foreground(command, self.directory, self.env)
        self.foreground[terminal] = program
        program.lines.until(ready)
        return "".join(line for line in program.lines.seen if AT_ANY_TIME.search(line) is None)


class Foreground:
    """A program that keeps its terminal until Ctrl-C."""

    def __init__(self, command: str, directory: Path, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = Lines(self._process.stdout)

    def stop(self) -> None:
        """Ctrl-C, which must work."""
        with self._process:
            self._process.send_signal(signal.SIGINT)
            self.lines.rest()
            assert self._process.wait(STOP_TIMEOUT_S) == 0


@contextmanager
def typing(text: str) -> Iterator[int]:
    """A terminal at which somebody has typed that."""
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, text.encode())
        yield terminal
    finally:
        os.close(keyboard)
        os.close(terminal)


def _commands(block: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^(?=\$ |\^C$)", block, flags=re.MULTILINE):
        if part:
            command, _, output = part.partition("\n")
            yield command.removeprefix("$ "), output


@contextmanager
def reader(directory: Path) -> Iterator[Reader]:
    """Stacks of theirs are the only ones that their commands find, whatever else runs on this machine."""
    python3 = directory / "bin" / "python3"
    python3.parent.mkdir()
    python3.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python3.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="readme-", dir="/tmp") as stacks:
        os.chmod(stacks, 0o711)
        path = f"{python3.parent}:{os.environ['PATH']}"
        someone = Reader(directory, clean_environment(PATH=path, TMPDIR=stacks))
        try:
            yield someone
        finally:
            for program in someone.foreground.values():
                program.stop()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_true(path: Path, tmp_path: Path) -> None:
    taken = [port for port in PORTS if not _is_free(port)]
    if taken:
        pytest.skip(f"the ports {taken} of the page are taken")
    if not has_ipv6():
        pytest.skip("the page has IPv6 addresses")
    page = path.read_text()
    with reader(tmp_path) as someone:
        came = BLOCK.sub(lambda match: someone.block(match[1], match[2]), page)
    if os.environ.get("GOLDEN") == "overwrite":
        path.write_text(re.sub(r"/tmp/readme-\w+/", "/tmp/", came))
    else:
        assert redacted(came) == redacted(page)
    if someone.not_run:
        pytest.skip(f"not run, for want of the program: {someone.not_run}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_console_block_names_its_terminal(path: Path) -> None:
    page = path.read_text()
    assert page.count("```console") == len(BLOCK.findall(page)) > 0


def test_the_python_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", example],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first.startswith("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c ")
    assert re.fullmatch(r"[0-9a-f-]{36} (\[::1\]|127\.0\.0\.1):\d+", second)
