"""The sweep: dead stacks go, running and kept ones stay, and no process is ended that was not theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simstack.directory import check_root, stack_directory
from simstack.errors import DirectoryError
from simstack.process_identity import process_identity
from simstack.sweep import SweepReport, sweep
from simstack.watchdog import watching

DEADLINE_S = 5.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stacks"


def dead_stack(root: Path, name: str, *journal: str) -> Path:
    """What a launcher leaves behind that died together with its watchdog."""
    root.mkdir(mode=0o700, exist_ok=True)
    path = root / name
    path.mkdir()
    (path / "owner.lock").touch(mode=0o600)
    (path / "nexus.log").touch()
    if journal:
        (path / "journal").write_text("".join(f"{line}\n" for line in journal))
    return path


def test_no_root_is_nothing_to_sweep(root: Path) -> None:
    assert sweep(root) == SweepReport()


def test_a_running_stack_is_left_alone(root: Path) -> None:
    with stack_directory(root) as directory, watching(directory):
        dead = dead_stack(root, "dead")
        assert sweep(root) == SweepReport(removed=(dead,))
        assert directory.path.is_dir()
    assert not root.exists()


def test_the_children_of_a_dead_stack_are_ended(root: Path) -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as child:
        child.send_signal(signal.SIGSTOP)
        path = root / "dead"
        dead_stack(root, "dead", f"child {child.pid} {process_identity(child.pid)}", f"remove {path}")
        assert sweep(root) == SweepReport(removed=(path,))
        assert child.wait(DEADLINE_S) == -signal.SIGKILL
    assert not root.exists()


@pytest.mark.parametrize("identity", ["0b8f-another-boot/{ticks}", "?"], ids=["another boot", "unknown"])
def test_a_process_that_only_has_the_pid_is_spared(root: Path, identity: str) -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as bystander:
        ticks = str(process_identity(bystander.pid)).partition("/")[2]
        path = root / "dead"
        dead_stack(root, "dead", f"child {bystander.pid} {identity.format(ticks=ticks)}", f"remove {path}")
        assert sweep(root) == SweepReport(removed=(path,))
        assert bystander.poll() is None
        bystander.kill()


def test_files_elsewhere_go_too(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "omicron-dev.log"
    log.touch()
    path = root / "dead"
    dead_stack(root, "dead", f"remove {path}", f"remove {log}")
    sweep(root)
    assert not log.exists()


@pytest.mark.parametrize("told", [[], ["remove {path}", "keep {path}"]], ids=["from the start", "later"])
def test_what_was_to_be_kept_is_kept_for_good(root: Path, told: list[str]) -> None:
    path = root / "dead"
    dead_stack(root, "dead", "child 999999999 x", *(line.format(path=path) for line in told))
    assert sweep(root) == SweepReport(kept=(path,))
    assert sweep(root) == SweepReport()
    assert (path / "nexus.log").exists()


def test_a_directory_whose_maker_died_at_once_goes(root: Path) -> None:
    (root / "empty").mkdir(parents=True)
    root.chmod(0o700)
    sweep(root)
    assert not root.exists()


def test_nothing_in_a_root_that_others_can_write_to_is_touched(root: Path) -> None:
    path = dead_stack(root, "dead")
    root.chmod(0o777)
    with pytest.raises(DirectoryError):
        sweep(root)
    assert path.exists()


def test_a_lock_survives_its_launcher_while_the_watchdog_cleans_up(root: Path) -> None:
    """So that a new stack does not sweep, or take the name, meanwhile."""
    program = (
        "import os, sys; from pathlib import Path; from simstack.directory import *; from simstack.watchdog import *\n"
        f"with stack_directory(Path({str(root)!r}), name='s') as directory, watching(directory) as watchdog:\n"
        "    os.kill(watchdog._process.pid, 19); print(watchdog._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    repository = str(Path(__file__).parents[3])
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=repository, timeout=30, check=False
    )
    watchdog_pid = int(run.stdout)
    try:
        check_root(root)
        assert sweep(root) == SweepReport()
        with pytest.raises(DirectoryError, match="a stack named s is running already"), stack_directory(root, name="s"):
            pass
    finally:
        os.kill(watchdog_pid, signal.SIGKILL)
