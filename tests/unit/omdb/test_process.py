"""omdb as a process of its own: how it ends when a signal, a closed pipe or a full disk gets in its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from canned_servers import LOOPBACK, CannedHttp, raw_server

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DEADLINE_S = 30

MANY = {
    "items": [
        {"id": f"{number:08}-0000-4000-8000-000000000000", "state": {"state": "running"}} for number in range(5000)
    ],
    "next_page": None,
}


@contextmanager
def many_sagas() -> Iterator[str]:
    with CannedHttp({"GET /sagas?limit=1000": (200, MANY)}).serve() as url:
        yield url


def start(
    *arguments: str, stdout: int | None = subprocess.PIPE, stderr: int | None = subprocess.PIPE, **variables: str
) -> subprocess.Popen[str]:
    ours = ("OMDB_", "LOG_LEVEL", "NO_COLOR", "PYTHONUNBUFFERED")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    command = [sys.executable, "-m", "omdb", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environ | variables, text=True, stdout=stdout, stderr=stderr)


def test_a_command() -> None:
    with many_sagas() as url, start("nexus", "sagas", "list", OMDB_NEXUS_URL=url) as omdb:
        stdout, stderr = omdb.communicate(timeout=DEADLINE_S)
    assert omdb.returncode == 0
    assert stdout.splitlines()[0] == "SAGA_ID                              STATE   "
    assert len(stdout.splitlines()) == 5001
    assert stderr.startswith(f"note: using Nexus URL {url}\nNOTE: ")


def test_ctrl_c_ends_it_without_a_word() -> None:
    asked = threading.Event()

    def never_answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        asked.set()
        connection.recv(1)

    with (
        raw_server(never_answer) as port,
        start("nexus", "background-tasks", "list", OMDB_NEXUS_URL=f"http://{LOOPBACK}:{port}") as omdb,
    ):
        assert asked.wait(DEADLINE_S)
        omdb.send_signal(signal.SIGINT)
        stdout, stderr = omdb.communicate(timeout=DEADLINE_S)
    assert (omdb.returncode, stdout) == (130, "")
    assert stderr == f"note: using Nexus URL http://{LOOPBACK}:{port}\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    with many_sagas() as url, start("nexus", "sagas", "list", OMDB_NEXUS_URL=url) as omdb:
        assert omdb.stdout is not None
        assert omdb.stderr is not None
        assert omdb.stdout.readline().startswith("SAGA_ID")
        omdb.stdout.close()
        stderr = omdb.stderr.read()
        omdb.wait(DEADLINE_S)
    assert omdb.returncode == 141
    assert "Error" not in stderr
    assert "BrokenPipe" not in stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_error() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with many_sagas() as url, start("nexus", "sagas", "list", stdout=full, OMDB_NEXUS_URL=url) as omdb:
            _, stderr = omdb.communicate(timeout=DEADLINE_S)
    finally:
        os.close(full)
    assert omdb.returncode == 1
    assert stderr.endswith("Error: the output cannot be written: no space left on device\n")


def test_closed_streams_are_no_trouble() -> None:
    command = f'exec "{sys.executable}" -m omdb --version >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], cwd=ROOT, timeout=DEADLINE_S).returncode == 0


def test_what_the_encoding_lacks_is_escaped() -> None:
    page = {"items": [{"id": "bücher", "state": {"state": "running"}}], "next_page": None}
    with (
        CannedHttp({"GET /sagas?limit=1000": (200, page)}).serve() as url,
        start("nexus", "sagas", "list", OMDB_NEXUS_URL=url, PYTHONIOENCODING="ascii") as omdb,
    ):
        stdout, _ = omdb.communicate(timeout=DEADLINE_S)
    assert omdb.returncode == 0
    assert stdout.splitlines()[1] == r"b\xfccher  running "
