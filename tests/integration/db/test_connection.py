"""psycopg on trio against a real server: what cancelling, size and loss do to a connection."""

from __future__ import annotations

import os
import random
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
import trio
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from nexus.db.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CANCELS = 300
PIPELINED = 2_000
MEGABYTES = int(os.environ.get("TEST_MEGABYTES", "60"))

OTHERS_AT_WORK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""


def is_clean(connection: Connection) -> bool:
    return (
        not connection.closed
        and connection.pgconn.transaction_status == TransactionStatus.IDLE
        and connection._num_transactions == 0
        and connection._pipeline is None
        and not connection.lock.locked()
    )


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await Connection.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def only(connection: Connection, query: str) -> object:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def test_values_keep_their_types(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as connection:
            sent = (uuid4(), {"a": [1, 2.5, None]}, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), b"\0\xff")
            cursor = await connection.execute(
                "SELECT %s::uuid, %s::jsonb, %s::timestamptz, %s::bytea", (sent[0], Jsonb(sent[1]), sent[2], sent[3])
            )
            received = await cursor.fetchone()
    assert received == sent
    assert received[2].utcoffset() == timedelta(0)


async def test_random_cancels_inside_transactions_leave_the_connection_clean(database_url: str) -> None:
    chance = random.Random(20260102)
    with trio.fail_after(90):
        async with connected(database_url) as connection:
            await connection.execute("CREATE TABLE cancelled (id INT8 PRIMARY KEY)")
            committed: set[int] = set()
            for round_number in range(CANCELS):
                with trio.move_on_after(chance.uniform(0, 0.006)):
                    async with connection.transaction():
                        await connection.execute("INSERT INTO cancelled VALUES (%s)", (round_number,))
                        if chance.random() < 0.5:
                            async with connection.transaction(), connection.pipeline():
                                for key in range(20):
                                    await connection.execute("SELECT %s, pg_sleep(0.0001)", (key,))
                        await connection.execute("SELECT pg_sleep(%s)", (chance.uniform(0, 0.004),))
                    committed.add(round_number)
                assert is_clean(connection), f"after round {round_number}"
            assert 0 < len(committed) < CANCELS
            stored = {row[0] for row in await (await connection.execute("SELECT id FROM cancelled")).fetchall()}
            assert stored == committed
            assert await only(connection, OTHERS_AT_WORK) == 0


async def test_a_cancelled_query_stops_in_the_server(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as connection:
            with trio.move_on_after(0.05) as scope:
                await connection.execute("SELECT pg_sleep(3600)")
            assert scope.cancelled_caught
            assert is_clean(connection)
            assert await only(connection, "SELECT 1") == 1


async def test_a_loop_of_queries_stops_when_it_is_cancelled(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as connection:
            rounds = 0
            with trio.CancelScope() as scope:
                while True:
                    await connection.execute("SELECT 1")
                    rounds += 1
                    if rounds == 3:
                        scope.cancel()
            assert rounds == 3


async def test_rollback_runs_in_a_scope_already_cancelled(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as connection:
            with trio.CancelScope() as scope:
                async with connection.transaction():
                    await connection.execute("CREATE TABLE never (id INT8)")
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            assert is_clean(connection)
            assert await only(connection, "SELECT to_regclass('never')") is None


async def test_pipeline_of_two_thousand_lets_other_tasks_run(database_url: str) -> None:
    with trio.fail_after(30):
        async with connected(database_url) as connection:
            await connection.execute("CREATE TABLE piped (id INT8 PRIMARY KEY, text TEXT)")
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    await trio.sleep(0.001)
                    turns += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(count_turns)
                async with connection.transaction(), connection.pipeline():
                    for key in range(PIPELINED):
                        await connection.execute("INSERT INTO piped VALUES (%s, %s)", (key, "x" * 100))
                async with connection.transaction(), connection.pipeline(), connection.cursor() as cursor:
                    await cursor.executemany(
                        "INSERT INTO piped VALUES (%s, %s)", [(PIPELINED + key, "y") for key in range(PIPELINED)]
                    )
                nursery.cancel_scope.cancel()
            assert await only(connection, "SELECT count(*) FROM piped") == 2 * PIPELINED
            assert turns > 3
            assert is_clean(connection)


async def test_an_error_in_a_pipeline_leaves_the_connection_clean(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as connection:
            with pytest.raises(psycopg.errors.DivisionByZero):  # noqa: PT012
                async with connection.transaction(), connection.pipeline():
                    await connection.execute("SELECT 1/0")
                    await connection.execute("SELECT 1")
            assert is_clean(connection)


async def test_large_values_both_ways(database_url: str) -> None:
    size = MEGABYTES * 1_000_000
    with trio.fail_after(60):
        async with connected(database_url) as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute("SELECT %b::bytea", (b"\xa5" * size,))
            row = await cursor.fetchone()
            assert row is not None
            assert row[0] == b"\xa5" * size


async def test_cancelled_while_sending_much(database_url: str) -> None:
    with trio.fail_after(30):
        async with connected(database_url) as connection:
            with trio.move_on_after(0.01):
                await connection.execute("SELECT length(%b::bytea)", (b"\xa5" * 30_000_000,))
            assert is_clean(connection)
            assert await only(connection, "SELECT 1") == 1


async def test_backend_killed_under_a_query(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as victim, connected(database_url) as killer:
            pid = victim.info.backend_pid
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def wait_for_ever() -> None:
                    with pytest.raises(psycopg.OperationalError):
                        await victim.execute("SELECT pg_sleep(3600)")

                while await only(killer, f"SELECT state FROM pg_stat_activity WHERE pid = {pid}") != "active":
                    pass
                await killer.execute("SELECT pg_terminate_backend(%s)", (pid,))
            assert victim.closed
            assert not victim.is_usable()


async def test_backend_killed_while_idle_is_noticed_without_a_query(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as victim, connected(database_url) as killer:
            assert victim.is_usable()
            await killer.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
            await trio.lowlevel.wait_readable(victim.fileno())
            assert not victim.is_usable()


async def test_word_from_the_server_while_idle_is_no_loss(database_url: str) -> None:
    """A server also tells its idle sessions of notifications and of changed settings."""
    with trio.fail_after(10):
        async with connected(database_url) as connection, connected(database_url) as other:
            await connection.execute("LISTEN word")
            await other.execute("NOTIFY word")
            await trio.lowlevel.wait_readable(connection.fileno())
            assert connection.is_usable()
            assert await only(connection, "SELECT 1") == 1


async def test_close_under_a_waiter(database_url: str) -> None:
    with trio.fail_after(10):
        async with connected(database_url) as connection:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def wait_for_ever() -> None:
                    with pytest.raises(psycopg.OperationalError):
                        await connection.execute("SELECT pg_sleep(3600)")

                await trio.testing.wait_all_tasks_blocked(0.05)
                await connection.close()
            assert connection.closed


async def test_close_under_a_waiter_that_is_sending(database_url: str) -> None:
    with trio.fail_after(20):
        async with connected(database_url) as connection:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def send_much() -> None:
                    with pytest.raises(psycopg.OperationalError):  # noqa: PT012
                        async with connection.transaction(), connection.pipeline():
                            await connection.execute("SELECT pg_sleep(3600)")
                            await connection.execute("SELECT length(%b::bytea)", (b"\xa5" * 60_000_000,))

                await trio.testing.wait_all_tasks_blocked(0.05)
                await connection.close()
            assert connection.closed


async def test_nothing_listens() -> None:
    with trio.fail_after(10), pytest.raises(psycopg.OperationalError, match="refused"):
        await Connection.connect("postgresql://root@127.0.0.1:1/omicron")


async def test_a_server_that_never_answers() -> None:
    with socket.socket() as silent, trio.fail_after(10):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(psycopg.errors.ConnectionTimeout, match=r"0\.05 s"):
            await Connection.connect(f"postgresql://root@127.0.0.1:{silent.getsockname()[1]}/x", timeout_s=0.05)


async def test_second_host_is_tried(database_url: str) -> None:
    params = psycopg.conninfo.conninfo_to_dict(database_url)
    params |= {"host": f"127.0.0.1,{params['host']}", "port": f"1,{params['port']}"}
    with trio.fail_after(10):
        async with connected(psycopg.conninfo.make_conninfo("", **params)) as connection:
            assert await only(connection, "SELECT 1") == 1


async def test_options_of_the_conninfo_are_kept(database_url: str) -> None:
    url = psycopg.conninfo.make_conninfo(database_url, options="-c default_transaction_isolation=serializable")
    with trio.fail_after(10):
        async with connected(url) as connection:
            assert await only(connection, "SHOW default_transaction_isolation") == "serializable"
            assert await only(connection, "SHOW timezone") == "UTC"
