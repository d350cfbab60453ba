"""Nothing outlives a launcher, however it ends: kills launchers and looks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from simstack import watchdog
from simstack.directory import stack_directory
from simstack.process_identity import process_identity
from simstack.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LAUNCHER = Path(__file__).with_name("launcher.py")
DEADLINE_S = 30.0
"""Bounds a test that hangs; that all is gone within 5 s is for a quiet machine to show."""


@contextmanager
def launcher(*arguments: str, within: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A launcher that is up, and what it printed. `within` is a command that runs it."""
    argv = [*within, sys.executable, str(LAUNCHER), *arguments]
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline() or "{}")
    finally:
        process.kill()
        process.communicate()


def processes_naming(text: str) -> list[int]:
    """Processes, of any pid namespace below ours, with `text` on their command line."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,stat=,command="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 2) for line in listing.stdout.splitlines() if text in line)
    return [int(pid) for pid, stat, _ in rows if not stat.startswith("Z")]


def wait_until_gone(facts: dict[str, Any]) -> None:
    directory = Path(facts["directory"])
    deadline = time.monotonic() + DEADLINE_S
    while (running := processes_naming(facts["directory"])) or directory.exists():
        assert time.monotonic() < deadline, (
            f"after {DEADLINE_S} s: processes {running}, {directory} {directory.exists()}"
        )
        time.sleep(0.02)


def wait_until_dead(pid: int) -> None:
    """And its descriptors closed; it need not have been reaped."""
    deadline = time.monotonic() + DEADLINE_S
    while process_identity(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_name(text: str, *, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len(processes_naming(text)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_another(text: str, pid: int) -> None:
    """Until a process that is not `pid` is the one with this name."""
    deadline = time.monotonic() + DEADLINE_S
    while processes_naming(text) in ([], [pid]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def namespaced(*flags: str) -> list[str]:
    """The command that runs another in namespaces of its own, or a visible skip."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare command")
    argv = ["unshare", *flags]
    if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"this system does not let us {' '.join(argv)}")
    return argv


class TestKilledLauncher:
    def test_everything_is_gone(self) -> None:
        with launcher() as (process, facts):
            wait_for_name(facts["directory"], count=3)  # postmaster, child, watchdog
            process.kill()
            process.wait()
            wait_until_gone(facts)

    def test_a_stopped_child_is_killed_too(self) -> None:
        with launcher("--bare") as (process, facts):
            os.kill(facts["child"], signal.SIGSTOP)
            process.kill()
            process.wait()
            wait_until_gone(facts)

    def test_a_stopped_server_is_killed_too(self) -> None:
        with launcher() as (process, facts):
            backend = children_of(facts["postgres"])[0]
            os.kill(backend, signal.SIGSTOP)
            os.kill(facts["postgres"], signal.SIGSTOP)
            process.kill()
            process.wait()
            wait_until_gone(facts)
            assert process_identity(backend) is None

    def test_a_terminals_signals_change_nothing(self) -> None:
        with launcher("--bare") as (process, facts):
            for pid in processes_naming(f"watchdog {facts['directory']}"):
                for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
                    os.kill(pid, number)
            process.kill()
            process.wait()
            wait_until_gone(facts)

    def test_a_watchdog_that_was_killed_is_replaced(self) -> None:
        with launcher("--bare") as (process, facts):
            (pid,) = processes_naming(f"watchdog {facts['directory']}")
            os.kill(pid, signal.SIGKILL)
            wait_until_dead(pid)  # until then its pipe takes what is written, and nobody reads it
            os.kill(facts["child"], signal.SIGKILL)  # the launcher reports it, and finds nobody listening
            wait_for_name(f"watchdog {facts['directory']}", count=1)
            process.kill()
            process.wait()
            wait_until_gone(facts)

    async def test_the_launcher_notices_at_once_where_it_looks(self, tmp_path: Path) -> None:
        with stack_directory(tmp_path, name="stack") as directory, watchdog.watching(directory) as watching:
            name = f"watchdog {directory.path}"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watching.keep_running)
                for _ in range(2):
                    (pid,) = processes_naming(name)
                    os.kill(pid, signal.SIGKILL)
                    await trio.to_thread.run_sync(wait_for_another, name, pid)
                nursery.cancel_scope.cancel()
        assert processes_naming(name) == []


class TestOrderlyEnd:
    def test_a_stopped_watchdog_holds_nothing_up(self, tmp_path: Path) -> None:
        with stack_directory(tmp_path, name="stack") as directory, watchdog.watching(directory):
            (pid,) = processes_naming(f"watchdog {directory.path}")
            os.kill(pid, signal.SIGSTOP)
            start = time.monotonic()
        assert time.monotonic() - start < watchdog.END_TIMEOUT_S
        assert process_identity(pid) is None

    def test_nothing_is_left(self) -> None:
        with launcher() as (process, facts):
            process.communicate("\n", timeout=DEADLINE_S)
            assert process.returncode == 0
            assert processes_naming(facts["directory"]) == []
            assert not Path(facts["directory"]).exists()


class TestNamespaces:
    def test_as_pid_1(self) -> None:
        within = namespaced("--pid", "--fork", "--kill-child", "--mount-proc")
        with launcher("--bare", within=within) as (process, facts):
            assert facts["launcher"] == 1
            process.communicate("\n", timeout=DEADLINE_S)
            assert process.returncode == 0
            assert not Path(facts["directory"]).exists()

    def test_as_pid_1_killed(self) -> None:
        within = namespaced("--pid", "--fork", "--kill-child", "--mount-proc")
        with launcher(within=within) as (process, facts):
            process.kill()  # and with it, by --kill-child, its PID 1
            process.wait()
            deadline = time.monotonic() + DEADLINE_S
            while processes_naming(facts["directory"]):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            directory = Path(facts["directory"])
            sweep(directory.parent)
            assert not directory.exists()

    @pytest.mark.parametrize("proc", ["--mount-proc", "--"], ids=["own /proc", "foreign /proc"])
    def test_beside_a_pid_1_that_does_not_reap(self, proc: str) -> None:
        within = [*namespaced("--pid", "--fork", "--kill-child", proc), "sh", "-c", '"$@" & exec sleep 1000', "sh"]
        with launcher(within=within) as (_, facts):
            (pid,) = processes_naming(f"{sys.executable} {LAUNCHER}")[-1:]
            os.kill(pid, signal.SIGKILL)
            wait_until_gone(facts)

    def test_without_proc(self, tmp_path: Path) -> None:
        """Where there is no /proc, `ps` tells; here a stand-in for a ps that does not need /proc."""
        argv = namespaced("--mount", "--propagation", "private")
        hidden = tmp_path / "proc"
        hidden.mkdir()
        (tmp_path / "ps").write_text(PS_WITHOUT_PROC.format(proc=hidden))
        (tmp_path / "ps").chmod(0o755)
        hide = f'mount --rbind /proc {hidden} && mount -t tmpfs none /proc && PATH={tmp_path}:$PATH exec "$@"'
        with launcher(within=[*argv, "sh", "-c", hide, "sh"]) as (process, facts):
            os.kill(facts["child"], signal.SIGSTOP)
            os.kill(facts["postgres"], signal.SIGSTOP)
            process.kill()
            process.wait()
            wait_until_gone(facts)

    def test_without_ipv6(self) -> None:
        with launcher("--no-ipv6", within=namespaced("--net")) as (process, facts):
            assert facts["url"].startswith("postgresql://root@127.0.0.1:")
            process.communicate("\n", timeout=DEADLINE_S)
            assert process.returncode == 0


class TestScript:
    @pytest.fixture(params=["dash", "bash", "busybox"])
    def shell(self, request: pytest.FixtureRequest) -> list[str]:
        path = shutil.which(request.param)
        if path is None:
            pytest.skip(f"no {request.param}")
        return [path, "sh"] if request.param == "busybox" else [path]

    def run(self, shell: list[str], mode: str, lines: str) -> None:
        argv = [*shell, str(watchdog.SCRIPT), mode, "test"]
        completed = subprocess.run(argv, input=lines, text=True, capture_output=True, timeout=DEADLINE_S, check=True)
        assert completed.stderr == ""

    def test_kills_the_process_it_was_told_of_and_its_group(self, shell: list[str]) -> None:
        with subprocess.Popen(["sh", "-c", "sleep 1000 & exec sleep 1000"], start_new_session=True) as child:
            self.run(shell, "watchdog", f"child {child.pid} {process_identity(child.pid)}\n")
            assert child.wait(DEADLINE_S) == -signal.SIGKILL

    @pytest.mark.parametrize(
        "lines", ["child {pid} another/1\n", "child {pid} {identity}\ngone {pid}\n", "child {pid}\nend\n"]
    )
    def test_spares_every_other_process(self, shell: list[str], lines: str) -> None:
        with subprocess.Popen(["sleep", "1000"], start_new_session=True) as bystander:
            self.run(shell, "watchdog", lines.format(pid=bystander.pid, identity=process_identity(bystander.pid)))
            assert bystander.poll() is None
            bystander.kill()

    def test_a_pid_file_that_is_older_than_its_process_is_no_postmaster(self, shell: list[str], tmp_path: Path) -> None:
        with subprocess.Popen(["sleep", "1000"], start_new_session=True) as bystander:
            (tmp_path / "postmaster.pid").write_text(f"{bystander.pid}\n{tmp_path}\n1\n2\n\n::1\n  11 22\nready\n")
            self.run(shell, "watchdog", f"postgres {tmp_path}\n")
            assert bystander.poll() is None
            bystander.kill()

    def test_removes_paths_but_what_is_to_be_kept(self, shell: list[str], tmp_path: Path) -> None:
        odd = tmp_path / "* a  b"
        odd.mkdir()
        (odd / "file").touch()
        for name in ("log", "kept", "other"):
            (tmp_path / name).touch()
        lines = [f"remove {odd}", f"remove {tmp_path}/log", f"remove {tmp_path}/kept", f"keep {tmp_path}/kept"]
        self.run(shell, "watchdog", "\n".join([*lines, f"parent {tmp_path}", f"remove {tmp_path}/oth"]))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "other"]

    def test_does_nothing_after_an_orderly_end(self, shell: list[str], tmp_path: Path) -> None:
        (tmp_path / "log").touch()
        self.run(shell, "watchdog", f"remove {tmp_path}/log\nend\n")
        assert (tmp_path / "log").exists()


def children_of(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listing.stdout.splitlines())
    return [int(child) for child, parent in rows if int(parent) == pid]


PS_WITHOUT_PROC = r"""#!/bin/sh
# ps as far as the launcher and the watchdog ask it.
proc={proc}
case "$*" in
"-o stat= -o lstart= -p "*) sed -n 's/.*) \([A-Z]\) \(.*\)/\1 \2/p' $proc/$6/stat | while read -r stat rest; do
    set -- $rest; echo "$stat   Mon Jan  1 ${{19}}"; done ;;
"-o pid= -p "*) [ -d $proc/$4 ] && echo "$4" ;;
"-o command= -p "*) tr '\0' ' ' <$proc/$4/cmdline ;;
"-A -o pid= -o ppid=") sed -n 's/^\([0-9]*\) .*) [A-Z] \([0-9]*\) .*/\1 \2/p' $proc/[0-9]*/stat ;;
esac
"""
