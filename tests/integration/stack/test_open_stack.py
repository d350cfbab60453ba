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

from simstack.stack import NexusOptions, SimstackError, open_stack

if TYPE_CHECKING:
    from simstack.stack import Stack

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


async def test_a_nexus_can_be_paused_and_killed_and_only_one_that_is_there() -> None:
    settings = {"default_transaction_isolation": "serializable"}
    with trio.fail_after(START_S):
        async with open_stack(NexusOptions(count=2, listen_port=0), postgres_settings=settings) as stack:
            second = await stack.nexus(2)
            second.pause()
            second.kill()
            assert str(await second.wait_exit()) == "killed by SIGKILL"
            for number in (0, 3):
                with pytest.raises(SimstackError, match=f"there is no Nexus {number}: this stack launched 1 to 2"):
                    await stack.nexus(number)
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
