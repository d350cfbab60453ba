"""`nexus CONFIG_FILE_PATH` as a process: exit codes, messages, signals, what its parent is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 60

CONFIG = """
[deployment]
id = "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"
rack_id = "c19a698f-c6f9-4a17-ae30-20d711b8f7dc"
dropshot_external.bind_address = "127.0.0.1:0"
dropshot_internal.bind_address = "127.0.0.1:{port}"
internal_dns = {{ type = "from_address", address = "127.0.0.1:9" }}
database = {{ type = "from_url", url = "postgresql://me:s3cret@127.0.0.1:9/omicron" }}
[authn]
schemes_external = []
"""

COMMAND = [sys.executable, "-c", "import sys; from nexus.command_line import run; sys.exit(run(sys.argv[1:]))"]


def nexus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@contextmanager
def running(path: Path) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(path.parent / "notify"))
        notices.settimeout(TIMEOUT_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(path.parent / "notify")}
        with subprocess.Popen(
            [*COMMAND, str(path)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process, notices
            finally:
                process.kill()


def test_without_an_argument() -> None:
    result = nexus()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Runs one Nexus")
    assert result.stderr.endswith("\nnexus: CONFIG_FILE_PATH is required\n")


@pytest.mark.parametrize(
    ("arguments", "problem"), [(["--nope"], "unknown option --nope"), (["a", "b"], "unexpected argument b")]
)
def test_usage_errors(arguments: list[str], problem: str) -> None:
    result = nexus(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith(f"\nnexus: {problem}\n")


def test_help_is_no_error() -> None:
    result = nexus("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage: nexus CONFIG_FILE_PATH" in result.stdout


def test_a_bad_configuration_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nexus.toml"
    result = nexus(str(path))
    assert (result.returncode, result.stderr) == (1, f'nexus: read "{path}": No such file or directory\n')
    path.write_text(CONFIG.format(port=0) + "[consol]\n")
    result = nexus(str(path))
    assert result.returncode == 1
    assert result.stderr == f'nexus: parse "{path}": unknown section "consol": the nearest known one is "console"\n'
    path.write_text(CONFIG.format(port=0) + '[log]\nmode = "file"\npath = "/no/such/directory/log"\n')
    result = nexus(str(path))
    assert (result.returncode, result.stderr) == (
        1,
        "nexus: cannot open log file /no/such/directory/log: No such file or directory\n",
    )


def test_the_second_example_unedited() -> None:
    result = nexus("configs/config-second.toml")
    assert result.returncode == 1
    assert result.stderr.startswith('nexus: parse "configs/config-second.toml": not edited yet: ')
    assert len(result.stderr.splitlines()) == 1


def test_a_taken_address(tmp_path: Path) -> None:
    path = tmp_path / "nexus.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path.write_text(CONFIG.format(port=port))
        result = nexus(str(path))
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"nexus: cannot listen on 127.0.0.1:{port}: in use")
    if sys.platform == "linux":
        assert f"by pid {os.getpid()}, " in last
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waits_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "nexus.toml"
    path.write_text(CONFIG.format(port=0))
    with running(path) as (process, notices):
        told: list[str] = []
        while not (
            "the database at 127.0.0.1:9 cannot be reached" in "".join(told) and "X_INTERNAL_ADDRESS" in "".join(told)
        ):
            told.append(notices.recv(65536).decode())
        process.send_signal(number)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
    assert f"INFO stopping, signal: {number.name}" in errors
    assert "INFO not simulated, so not looked at in the configuration, keys: authn" in errors
    assert "waiting, reason: the database, as the database at 127.0.0.1:9 cannot be reached: " in errors
    assert "s3cret" not in errors + "".join(told)
    assert "Traceback" not in errors


def test_a_signal_while_it_still_imports_ends_it_too(tmp_path: Path) -> None:
    path = tmp_path / "nexus.toml"
    os.mkfifo(path)  # it blocks when it opens its configuration
    process = subprocess.Popen([*COMMAND, str(path)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with process, path.open("w"):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, "")
