"""What a stack leaves behind: nothing, however it ends."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from stack_driver import REPO, RunAll, clean_environment, eventually, processes_of, program, run_all, xtask


def left_behind(stack: RunAll) -> list[str]:
    directory = stack.facts["directory"]
    addresses = [stack.facts["database"]["address"], *(nexus["internal_address"] for nexus in stack.facts["nexuses"])]
    return [
        *processes_of(directory).values(),
        *(address for address in addresses if answers(address)),
        *([directory] if Path(directory).exists() else []),
    ]


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            return True
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_leaves_nothing(number: signal.Signals) -> None:
    with run_all("--nexuses", "2" if number is signal.SIGINT else "1") as stack:
        assert stack.program.stop(number) == 0
        assert left_behind(stack) == []
        assert "caught signal, shutting down and removing temporary directory" in stack.program.stderr.rest()


def test_kill_9_of_the_launcher_leaves_nothing_not_even_a_stopped_nexus() -> None:
    with run_all() as stack:
        os.kill(stack.facts["nexuses"][0]["pid"], signal.SIGSTOP)
        assert stack.program.stop(signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: left_behind(stack), [])


def test_down_leaves_nothing_when_it_returns_not_even_a_paused_nexus() -> None:
    with run_all("--nexuses", "2") as stack:
        name = stack.facts["name"]
        assert xtask("omicron-dev", "nexus", "pause", "2", "--name", name).returncode == 0
        down = xtask("omicron-dev", "down", "--name", name)
        assert left_behind(stack) == []
        assert down.stderr == f"omicron-dev: stack {name} (pid {stack.facts['pid']}) is gone\n"
        assert (down.returncode, stack.program.process.wait(timeout=30)) == (0, 0)
        said = stack.program.stderr.rest()
        assert "omicron-dev: asked to go down, shutting down and removing temporary directory\n" in said
        assert "nexus2" not in said


def test_without_its_database_the_stack_says_so_and_ends() -> None:
    with run_all() as stack:
        os.kill(stack.facts["database"]["pid"], signal.SIGKILL)
        stack.program.stderr.until(
            rf"^omicron-dev: postgres \(pid {stack.facts['database']['pid']}\) killed by SIGKILL: "
            r"the stack cannot go on without its database$"
        )
        assert stack.program.process.wait(timeout=30) == 1
        directory = Path(stack.facts["directory"])
        kept = re.search(r"^logs are kept in (.*)$", stack.program.stderr.rest(), re.MULTILINE)
        assert kept is not None
        assert Path(kept[1]) == directory
        assert {path.suffix for path in directory.iterdir()} == {".log"}
        assert processes_of(stack.facts["directory"]) == {}
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()


def test_a_nexus_that_dies_is_reported_and_the_rest_goes_on() -> None:
    with run_all("--nexuses", "2") as stack:
        victim = stack.facts["nexuses"][1]
        os.kill(victim["pid"], signal.SIGKILL)
        who = rf"nexus2 {victim['id']} \(pid {victim['pid']}\)"
        stack.program.stderr.until(rf"{who} killed by SIGKILL; the end of its log")
        stack.program.stderr.until(r"\"msg\":")
        status = xtask("omicron-dev", "status", "--name", stack.facts["name"])
        assert status.returncode == 1
        assert re.search(r"^nexus1 +answers ", status.stdout, re.MULTILINE), status.stdout
        assert re.search(
            r"^nexus2 +down .* killed by SIGKILL; `nexus start` starts it again$", status.stdout, re.MULTILINE
        ), status.stdout


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program("xtask", "omicron-dev", "run-all", "--nexus-listen-port", str(port)) as launcher:
            assert launcher.process.wait(timeout=30) == 1
            assert re.fullmatch(
                rf"omicron-dev: 127\.0\.0\.1:{port} is in use.*; `--nexus-listen-port 0` takes free ports\n",
                launcher.stderr.rest(),
            )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--nexus-config", "/nonexistent.toml"], "cannot read /nonexistent.toml: No such file or directory"),
        (["--gateway-config", "/nonexistent.toml"], "cannot read /nonexistent.toml: No such file or directory"),
        (["--name", "Über"], "'Über' is no name for a stack"),
    ],
)
def test_what_cannot_be_used_is_one_line(arguments: list[str], complaint: str) -> None:
    done = xtask("omicron-dev", "run-all", "--nexus-listen-port", "0", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"omicron-dev: {complaint}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["--nexuses", "0"], ["--nexuses", "17"], ["--nexus-listen-port", "70000"], ["--nexuses", "x"], ["--no-keep"]],
)
def test_a_mistake_on_the_command_line_is_one_line_and_status_2(arguments: list[str]) -> None:
    done = xtask("omicron-dev", "run-all", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_nobody_reads_the_summary() -> None:
    command = "-m xtask omicron-dev run-all --nexus-listen-port 0 --name unread"
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" {command} | head -n 1; exit "${{PIPESTATUS[0]}}"'],
        cwd=REPO,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGPIPE, "omicron-dev: setting up all services ... \n")
    assert "Traceback" not in done.stderr
    assert processes_of(f"omicron-dev-{os.geteuid()}/unread") == {}


def test_a_frozen_launcher_holds_up_nobody_else() -> None:
    with run_all("--name", "frozen") as frozen, run_all("--name", "lively") as lively:
        frozen.program.process.send_signal(signal.SIGSTOP)
        shown = xtask("omicron-dev", "env", "--name", "lively")
        assert f"export OMDB_NEXUS_URL={shlex.quote(lively.first_url)}\n" in shown.stdout
        silent = xtask("omicron-dev", "env", "--name", "frozen")
        frozen.program.process.send_signal(signal.SIGCONT)
        assert (silent.returncode, silent.stdout) == (1, "")
        assert "frozen does not answer: timed out" in silent.stderr


def test_two_stacks_do_not_disturb_each_other() -> None:
    with run_all() as first, run_all("--name", "other") as second:
        ambiguous = xtask("omicron-dev", "env")
        assert (ambiguous.returncode, ambiguous.stdout) == (1, "")
        found = re.fullmatch(r"omicron-dev: \d+ stacks are running \((.*)\); say which with --name\n", ambiguous.stderr)
        assert found is not None, ambiguous.stderr
        assert {first.facts["name"], "other"} <= set(found[1].split(", "))
        for stack in (first, second):
            shown = xtask("omicron-dev", "env", "--name", stack.facts["name"])
            assert f"export OMDB_NEXUS_URL={shlex.quote(stack.first_url)}\n" in shown.stdout
        taken = xtask("omicron-dev", "run-all", "--nexus-listen-port", "0", "--name", "other")
        in_use = f"omicron-dev: a stack named other is running already, in {second.facts['directory']}\n"
        assert (taken.returncode, taken.stderr) == (1, in_use)
        assert first.program.stop() == 0
        assert xtask("omicron-dev", "status", "--name", "other").returncode == 0
