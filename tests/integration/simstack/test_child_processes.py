"""Child processes: what they say, how they end, what is left of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from simstack.exit_status import ExitStatus
from simstack.process import Child, ChildExited, ChildSpec, run_child
from simstack.process_identity import process_identity

TIMEOUT_S = 20.0

PRELUDE = """
import os, signal, socket, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
say = lambda *lines: notify.send("\\n".join(lines).encode())
"""


def child_that(program: str, place: Path, *, name: str = "child") -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-c", PRELUDE + program),
        env={"PATH": os.environ["PATH"], "ANSWER": "42"},
        cwd=place,
        log_path=place / f"{name}.log",
    )


async def start(nursery: trio.Nursery, spec: ChildSpec, *, grace_s: float = 10.0) -> Child:
    owner = partial(run_child, spec, socket_directory=spec.cwd, grace_s=grace_s)
    child: Child = await nursery.start(owner)
    return child


async def test_tells_what_a_child_says_as_it_comes(tmp_path: Path) -> None:
    program = """
say("STATUS=waiting for the database", "X_INTERNAL_ADDRESS=[::1]:12221")
print(os.environ["ANSWER"], os.getcwd(), os.getsid(0) == os.getpid(), flush=True)
sys.stderr.write("to the same log\\n")
say("READY=1", "not a notice", "STATUS=a=b")
time.sleep(1000)
"""
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that(program, tmp_path))
            notices = await child.wait_ready()
            assert notices.values["X_INTERNAL_ADDRESS"] == "[::1]:12221"
            async for notices in child.notices_as_they_come():
                if notices.status == "a=b":
                    break
            assert child.log_tail() == f"42 {tmp_path} True\nto the same log"
            assert child.exit_status is None
            assert str(await child.stop()) == "killed by SIGTERM"
            assert child.exit_status == ExitStatus(-signal.SIGTERM)
            assert await child.stop() == child.exit_status
    assert os.listdir(tmp_path) == ["child.log"]


@pytest.mark.parametrize(
    ("program", "status"),
    [("sys.exit(3)", "exited with status 3"), ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL")],
)
async def test_a_child_that_ends_before_it_is_ready(tmp_path: Path, program: str, status: str) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(
                nursery, child_that(f"say('STATUS=last words'); print('why', flush=True); {program}", tmp_path)
            )
            with pytest.raises(ChildExited, match=rf"^child {status} before it was ready \(log: .*child\.log\)$"):
                await child.wait_ready()
            assert [notices.status async for notices in child.notices_as_they_come()] == ["last words"]
            assert str(await child.wait_exit()) == status
            assert child.log_tail() == "why"
            child.pause()  # nobody is there any more: nothing happens
            child.kill()


async def test_ready_before_death_is_ready(tmp_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that("say('READY=1')", tmp_path))
            await child.wait_exit()
            assert (await child.wait_ready()).ready


async def test_cancelling_the_owner_ends_the_child(tmp_path: Path) -> None:
    orderly = """
signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
say("READY=1")
signal.pause()
"""
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that(orderly, tmp_path))
            await child.wait_ready()
            nursery.cancel_scope.cancel()
    assert str(child.exit_status) == "exited with status 0"
    assert child.log_tail() == "bye"


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, stopped: bool) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            program = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say('READY=1'); time.sleep(1000)"
            child = await start(nursery, child_that(program, tmp_path), grace_s=0.05)
            await child.wait_ready()
            if stopped:
                child.pause()
            nursery.cancel_scope.cancel()
    assert str(child.exit_status) == "killed by SIGKILL"
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_a_stopped_child_takes_its_sigterm(tmp_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that("say('READY=1'); time.sleep(1000)", tmp_path))
            await child.wait_ready()
            child.pause()
            assert str(await child.stop(grace_s=TIMEOUT_S)) == "killed by SIGTERM"


async def test_a_paused_child_goes_on(tmp_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that("say('READY=1'); sys.stdin.read(); say('X_ON=1')", tmp_path))
            await child.wait_ready()
            child.pause()
            child.resume()
            await child.wait_exit()
            assert child.notices.values["X_ON"] == "1"


async def test_a_pause_shows_whoever_made_it(tmp_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that("say('READY=1'); time.sleep(1000)", tmp_path))
            await child.wait_ready()
            assert not child.is_paused
            os.kill(child.pid, signal.SIGSTOP)
            await child.wait_paused()
            assert [child.is_paused, child.is_paused] == [True, True]
            os.kill(child.pid, signal.SIGCONT)
            while child.is_paused:
                await trio.lowlevel.checkpoint()
            child.pause()
            child.kill()
            await child.wait_exit()
            await child.wait_paused()
            assert not child.is_paused


async def test_killing_takes_what_it_started_along(tmp_path: Path) -> None:
    program = """
import subprocess
grandchild = subprocess.Popen(["sleep", "1000"])
say("READY=1", f"X_PID={grandchild.pid}")
time.sleep(1000)
"""
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            child = await start(nursery, child_that(program, tmp_path))
            grandchild = int((await child.wait_ready()).values["X_PID"])
            child.kill()
            assert str(await child.wait_exit()) == "killed by SIGKILL"
            await trio.to_thread.run_sync(wait_until_dead, grandchild)


async def test_a_socket_directory_with_a_long_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            program = "say('READY=1', 'X_PATH=' + os.environ['NOTIFY_SOCKET']); time.sleep(1000)"
            child = await start(nursery, child_that(program, deep))
            socket_path = Path((await child.wait_ready()).values["X_PATH"])
            assert socket_path.parent.stat().st_mode & 0o077 == 0
            nursery.cancel_scope.cancel()
    assert not socket_path.parent.exists()


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    spec = ChildSpec(name="child", argv=("/nonexistent",), env={}, cwd=tmp_path, log_path=tmp_path / "log")
    with trio.fail_after(TIMEOUT_S), pytest.raises(FileNotFoundError):
        await run_child(spec, socket_directory=tmp_path)


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while process_identity(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
