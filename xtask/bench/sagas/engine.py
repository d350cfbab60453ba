"""The engine in this process: how many sagas a second, and how long one takes."""

from __future__ import annotations

import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from dropshot.logging import LogConfig, open_log
from nexus.db.pool import open_pool
from nexus.saga.action import ActionRegistry
from nexus.saga.ids import SagaId, SecId
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.sec import Sec
from xtask.bench.sagas.saga_types import ACT, dag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nexus.saga.action import AnyAction


@asynccontextmanager
async def open_sec(url: str, action: AnyAction, sec_id: SecId) -> AsyncIterator[Sec]:
    log = open_log(LogConfig(level="warn"), name="bench")
    async with open_pool(url, log=log) as pool, trio.open_nursery() as nursery:
        sec = Sec(sec_id, store=PostgresSecStore(pool, log=log), registry=ActionRegistry([action]), log=log)
        await nursery.start(sec.run)
        yield sec
        nursery.cancel_scope.cancel()


async def in_parallel(tasks: int, count: int, run: Callable[[], Awaitable[None]]) -> None:
    left = count

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await run()

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(work)


async def sagas_per_second(url: str, *, tasks: int, count: int) -> float:
    """So many tasks, each of which creates a saga and waits for its end, again and again."""
    async with open_sec(url, ACT, SecId(uuid4())) as sec:
        start = time.perf_counter()
        await in_parallel(tasks, count, lambda: run_one(sec))
        return count / (time.perf_counter() - start)


async def one_after_the_other_p50_s(url: str, *, count: int) -> float:
    """From creation to end."""
    samples: list[float] = []
    async with open_sec(url, ACT, SecId(uuid4())) as sec:
        for _ in range(count):
            start = time.perf_counter()
            await run_one(sec)
            samples.append(time.perf_counter() - start)
    return statistics.median(samples)


async def run_one(sec: Sec) -> None:
    saga_id = SagaId(uuid4())
    await sec.create(saga_id, dag(0))
    await sec.wait_ended(saga_id)
