"""`open_stack` as a test or a tool uses it: in its own process, with its own errors."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import trio
import trio.testing
from stack_driver import processes_of

from simstack import nexus_fleet
from simstack.stack import NexusOptions, SimstackError, open_stack

if TYPE_CHECKING:
    from simstack.stack import LaunchedNexus, Stack

START_S = 120
ANY_PORT = NexusOptions(listen_port=0)


def open_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def directory_of(stack: Stack) -> Path:
    return Path(stack.facts.directory)


async def test_an_error_of_the_body_comes_out_as_it_was_raised_and_leaves_nothing() -> None:
    directory = None
    with trio.fail_after(START_S), pytest.raises(ValueError, match="mine") as raised:  # noqa: PT012
        async with open_stack(ANY_PORT) as stack:
            directory = directory_of(stack)
            raise ValueError("mine")
    assert raised.value.__cause__ is None
    assert directory is not None
    assert not directory.exists()


async def test_cancelling_the_body_leaves_nothing() -> None:
    directory = None
    with trio.CancelScope() as scope:
        async with open_stack(ANY_PORT) as stack:
            directory = directory_of(stack)
            scope.cancel()
            await trio.sleep_forever()
    assert directory is not None
    assert not directory.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
async def test_a_stack_gives_every_descriptor_back() -> None:
    async with open_stack(ANY_PORT):
        pass  # the first one may leave caches of libraries behind
    before = open_descriptors()
    async with open_stack(ANY_PORT):
        pass
    assert open_descriptors() == before


async def test_a_dead_database_is_one_error_and_its_logs_are_kept() -> None:
    directory = None
    with trio.fail_after(START_S), pytest.raises(SimstackError, match=r"postgres \(pid \d+\) killed by SIGKILL"):  # noqa: PT012
        async with open_stack(ANY_PORT) as stack:
            directory = directory_of(stack)
            os.kill(stack.facts.database.pid, signal.SIGKILL)
            await trio.sleep_forever()
    assert directory is not None
    left = list(directory.iterdir())
    assert {path.suffix for path in left} == {".log"}
    for path in left:
        path.unlink()
    directory.rmdir()


async def test_a_stack_takes_settings_of_the_server() -> None:
    settings = {"default_transaction_isolation": "serializable"}
    with trio.fail_after(START_S):
        async with open_stack(ANY_PORT, postgres_settings=settings) as stack:
            with psycopg.connect(stack.facts.database.url) as connection:
                row = connection.execute("SHOW default_transaction_isolation").fetchone()
            assert row == ("serializable",)


async def test_stopping_and_starting_the_database_is_idempotent() -> None:
    with trio.fail_after(START_S):
        async with open_stack(ANY_PORT) as stack:

            def database_state() -> str:
                return next(service.state for service in stack.status().services if service.name == "postgres")

            for _ in range(2):
                await stack.stop_database()
                assert database_state() == "stopped"
            for _ in range(2):
                await stack.start_database()
                assert database_state() == "running"


async def test_two_commands_at_once_to_one_nexus_go_one_after_the_other() -> None:
    refused: list[str] = []

    async def kill(nexus: LaunchedNexus) -> None:
        try:
            assert str(await nexus.kill()) == "killed by SIGKILL"
        except SimstackError as exc:
            refused.append(str(exc))

    with trio.fail_after(START_S):
        async with open_stack(NexusOptions(count=2, listen_port=0)) as stack:
            second = stack.nexus(2)
            address, pid = second.facts().internal_address, second.pid
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill, second)
                nursery.start_soon(kill, second)
            assert refused == [f"nexus2 {second.id} (pid {pid}) does not run: killed by SIGKILL"]
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(second.start)
            assert second.is_running
            assert stack.facts.nexuses[1].internal_address == address
            assert list(processes_of(str(second.config_path))) == [second.pid]


async def test_a_kill_does_not_wait_for_a_start_that_waits() -> None:
    is_starting = trio.Event()

    async def start(nexus: LaunchedNexus) -> None:
        with pytest.raises(SimstackError, match=r"killed by SIGKILL before it was ready: another command"):
            await nexus.restart(lambda _line: is_starting.set())

    with trio.fail_after(START_S):
        async with open_stack(ANY_PORT) as stack:
            await stack.stop_database()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(start, stack.nexus())
                await is_starting.wait()
                await stack.nexus().kill()
            await stack.start_database()
            await stack.nexus().start()


async def test_a_command_that_is_cancelled_anywhere_leaves_one_process_or_none() -> None:
    with trio.fail_after(START_S):
        async with open_stack(ANY_PORT) as stack:
            nexus = stack.nexus()
            for checkpoints in (1, 4, 16, 64):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(nexus.restart)
                    for _ in range(checkpoints):
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
                await nexus.start()
                assert list(processes_of(str(nexus.config_path))) == [nexus.pid]
            await nexus.stop()
            assert processes_of(str(nexus.config_path)) == {}
            assert [service.state for service in stack.status().services if service.name == "nexus1"] == ["stopped"]


async def test_a_command_that_the_end_of_the_stack_overtakes_is_refused() -> None:
    refused = trio.Event()

    async def restart_for_ever(nexus: LaunchedNexus) -> None:
        with pytest.raises(SimstackError, match=r"^not ready: |the stack is on its way down$"):  # noqa: PT012
            while True:
                await nexus.restart()
        refused.set()

    with trio.fail_after(START_S):
        async with trio.open_nursery() as nursery:
            async with open_stack(ANY_PORT) as stack:
                directory = directory_of(stack)
                nursery.start_soon(restart_for_ever, stack.nexus())
                await trio.testing.wait_all_tasks_blocked()
            await refused.wait()
            assert not directory.exists()


async def test_one_that_was_added_is_one_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nexus_fleet, "MAX_NEXUSES", 2)
    with trio.fail_after(START_S):
        async with open_stack(ANY_PORT) as stack:
            await stack.nexus(1).pause()
            with pytest.raises(
                SimstackError, match=r"has to be put into the target blueprint by one that runs: \S+:\d+: "
            ):
                await stack.add_nexus(next_generation=True)
            await stack.nexus(1).resume()
            added = await stack.add_nexus()
            assert await added.start() == "is ready"
            assert stack.nexus(2) is stack.nexus(str(added.id)) is added
            assert [nexus.id for nexus in stack.facts.nexuses] == [stack.nexus(1).id, added.id]
            await added.pause()
            assert added.is_paused
            with pytest.raises(SimstackError, match=r"^2 Nexuses of this stack run, and it cannot have more$"):
                await stack.add_nexus()
            with pytest.raises(SimstackError, match=r"say which Nexus: nexus1 .*, nexus2 "):
                stack.nexus()


async def test_only_a_stack_whose_owner_waits_for_it_can_be_taken_down() -> None:
    with trio.fail_after(START_S):
        async with open_stack(ANY_PORT) as stack:
            with pytest.raises(SimstackError, match=r"belongs to a program that ends it by itself \(pid \d+\)"):
                stack.take_down()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stack.until_down)
                await trio.testing.wait_all_tasks_blocked()
                stack.take_down()
