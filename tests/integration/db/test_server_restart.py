"""The pool while its real server stops and starts again under it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import structlog
import trio

from nexus.db.errors import DatabaseUnavailable
from nexus.db.pool import Pool, Timeouts, open_pool
from simstack.cluster_config import ClusterConfig
from simstack.directory import stack_directory, stacks_root
from simstack.postgres import PostgresCluster, open_postgres
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.db.connection import Connection

LOG = structlog.get_logger()
TIMEOUT_S = 60


@asynccontextmanager
async def server_and_pool(*, retry_s: float) -> AsyncIterator[tuple[PostgresCluster, Pool]]:
    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog, trio.fail_after(TIMEOUT_S):
        config = ClusterConfig(directory=directory.path / "postgres", log_path=directory.path / "postgres.log")
        async with (
            open_postgres(config, watchdog=watchdog) as cluster,
            open_pool(cluster.url, size=4, log=LOG, timeouts=Timeouts(retry_s=retry_s)) as pool,
        ):
            yield cluster, pool


async def select_one(connection: Connection) -> int:
    row = await (await connection.execute("SELECT 1")).fetchone()
    assert row is not None
    return int(row[0])


async def test_stop_under_idle_and_busy_connections_then_start() -> None:
    async with server_and_pool(retry_s=0.2) as (cluster, pool):
        async with pool.connection() as one, pool.connection() as two:
            assert await select_one(one) + await select_one(two) == 2
        async with trio.open_nursery() as nursery:
            busy = trio.Event()

            @nursery.start_soon
            async def sleep_in_the_server() -> None:
                with pytest.raises(DatabaseUnavailable, match="was lost"):  # noqa: PT012
                    async with pool.connection() as connection:
                        busy.set()
                        await connection.execute("SELECT pg_sleep(3600)")

            await busy.wait()
            await cluster.stop()
        with pytest.raises(DatabaseUnavailable, match="refused"):
            await pool.transaction(select_one)
        await cluster.start()
        assert await pool.transaction(select_one) == 1


async def test_transactions_ride_through_a_restart() -> None:
    async with server_and_pool(retry_s=TIMEOUT_S) as (cluster, pool):
        async with pool.connection() as connection:
            await connection.execute("CREATE TABLE written (id INT8 PRIMARY KEY)")
        half_done = trio.Event()

        async def write_all(task: int) -> None:
            for number in range(100):

                async def insert(connection: Connection, key: int = task * 1_000 + number) -> None:
                    await connection.execute("INSERT INTO written VALUES (%s) ON CONFLICT DO NOTHING", (key,))

                await pool.transaction(insert)
                if number == 50:
                    half_done.set()

        async with trio.open_nursery() as nursery:
            for task in range(8):
                nursery.start_soon(write_all, task)
            await half_done.wait()
            await cluster.stop()
            await cluster.start()
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT count(*) FROM written")
            assert await cursor.fetchone() == (800,)
