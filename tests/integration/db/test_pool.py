"""The pool before, during and after an outage. A proxy on the way to the real server plays the outages."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest
import structlog
import trio
from database_proxy import proxied
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from nexus.db.errors import DatabaseUnavailable, PoolClosed, PoolRetired
from nexus.db.pool import Pool, Timeouts, open_pool

if TYPE_CHECKING:
    from nexus.db.connection import Connection

LOG = structlog.get_logger()
QUICK = Timeouts(connect_s=0.5, checkout_s=0.2, attempt_s=0.5, retry_s=0.3)


async def select_one(connection: Connection) -> int:
    row = await (await connection.execute("SELECT 1")).fetchone()
    assert row is not None
    return int(row[0])


async def test_opens_before_there_is_a_server() -> None:
    with trio.fail_after(10), capture_logs() as logs:
        async with open_pool("postgresql://root@127.0.0.1:1/omicron", log=LOG, timeouts=QUICK) as pool:
            for _ in range(2):
                with pytest.raises(
                    DatabaseUnavailable, match=r"^the database at 127\.0\.0\.1:1 cannot be reached: Conn"
                ):
                    await pool.transaction(select_one)
    assert [entry["event"] for entry in logs] == ["database cannot be reached"]


@pytest.mark.parametrize(
    ("conninfo", "address"),
    [
        ("postgresql://root@[::1]:5433/x", "[::1]:5433"),
        ("host=127.0.0.1 dbname=x", "127.0.0.1:5432"),
        ("postgresql://[::1]:1,127.0.0.1:2/x", "[::1]:1,127.0.0.1:2"),
        ("host=a,b port=7", "a:7,b:7"),
    ],
)
async def test_names_the_address_people_know(conninfo: str, address: str) -> None:
    async with open_pool(conninfo, log=LOG) as pool:
        assert pool.address == address


async def test_connections_are_kept_and_reused(database_url: str) -> None:
    with trio.fail_after(10):
        async with open_pool(database_url, log=LOG) as pool:
            async with pool.connection() as first, pool.connection() as second:
                pids = {first.info.backend_pid, second.info.backend_pid}
            for _ in range(5):
                async with pool.connection() as again:
                    assert again.info.backend_pid in pids


async def test_retired_it_lends_nothing_any_more_and_waits_for_what_it_has_lent(database_url: str) -> None:
    with trio.fail_after(30):
        async with open_pool(database_url, size=1, log=LOG) as pool, trio.open_nursery() as nursery:
            refused: list[str] = []

            async def borrow() -> None:
                with pytest.raises(PoolRetired) as refusal:
                    await pool.transaction(select_one)
                refused.append(str(refusal.value))

            async with pool.connection() as held:
                (claim,) = pool.claims()
                assert claim.task == trio.lowlevel.current_task().name
                nursery.start_soon(borrow)  # before
                await wait_all_tasks_blocked()
                nursery.start_soon(pool.retire, "over")
                await wait_all_tasks_blocked()
                nursery.start_soon(borrow)  # after
                await wait_all_tasks_blocked()
                assert (refused, await select_one(held)) == (["over"], 1)
        assert refused == ["over", "over"]
        assert pool.claims() == []
        assert held.closed


async def test_waiters_are_served_in_order_and_not_for_ever(database_url: str) -> None:
    with trio.fail_after(10):
        async with open_pool(database_url, size=1, log=LOG, timeouts=QUICK) as pool:
            order: list[int] = []

            async def borrow(number: int) -> None:
                async with pool.connection():
                    order.append(number)

            async with trio.open_nursery() as nursery, pool.connection():
                for number in range(3):
                    nursery.start_soon(borrow, number)
                    await trio.testing.wait_all_tasks_blocked()
            assert order == [0, 1, 2]
            async with pool.connection():
                with pytest.raises(DatabaseUnavailable, match=r"all connections .* in use for 0\.2 s"):
                    await borrow(3)


async def test_cancelled_waiters_and_borrowers_return_their_place(database_url: str) -> None:
    with trio.fail_after(20):
        async with open_pool(database_url, size=2, log=LOG) as pool:
            for _ in range(50):
                with trio.move_on_after(0.003):
                    async with trio.open_nursery() as nursery:
                        for _ in range(6):
                            nursery.start_soon(pool.transaction, select_one)
            async with pool.connection() as first, pool.connection() as second:
                assert await select_one(first) == await select_one(second) == 1


async def test_a_connection_given_back_in_a_transaction_is_not_reused(database_url: str) -> None:
    with trio.fail_after(10), capture_logs() as logs:
        async with open_pool(database_url, size=1, log=LOG) as pool:
            async with pool.connection() as connection:
                await connection.execute("BEGIN")
                pid = connection.info.backend_pid
            async with pool.connection() as connection:
                assert connection.info.backend_pid != pid
    assert [entry["event"] for entry in logs] == ["connection given back inside a transaction; closing it"]


async def test_close_under_waiters(database_url: str) -> None:
    with trio.fail_after(10):
        async with open_pool(database_url, size=1, log=LOG) as pool, trio.open_nursery() as nursery:

            @nursery.start_soon
            async def query() -> None:
                with pytest.raises(PoolClosed):
                    async with pool.connection() as connection:
                        await connection.execute("SELECT pg_sleep(3600)")

            await trio.testing.wait_all_tasks_blocked(0.05)
            for _ in range(3):

                @nursery.start_soon
                async def wait() -> None:
                    with pytest.raises(PoolClosed):
                        await pool.transaction(select_one)

            await trio.testing.wait_all_tasks_blocked(0.02)
            await pool.close()
        with pytest.raises(PoolClosed):
            await pool.transaction(select_one)


async def test_server_that_stops_and_comes_back(database_url: str) -> None:
    with trio.fail_after(20), capture_logs() as logs:
        async with proxied(database_url) as (proxy, url), open_pool(url, log=LOG, timeouts=QUICK) as pool:
            for _ in range(2):
                async with pool.connection() as one, pool.connection() as two:
                    assert await select_one(one) == await select_one(two) == 1
                await proxy.stop()
                with pytest.raises(DatabaseUnavailable, match="refused"):
                    await pool.transaction(select_one)
                await proxy.start()
                assert await pool.transaction(select_one) == 1
    events = ["database cannot be reached", "database can be reached again"]
    assert [entry["event"] for entry in logs] == events * 2


async def test_transaction_rides_through_a_short_outage(database_url: str) -> None:
    with trio.fail_after(20):
        async with proxied(database_url) as (proxy, url), open_pool(url, log=LOG) as pool:
            runs = 0

            async def stop_the_server_once(connection: Connection) -> int:
                nonlocal runs
                runs += 1
                if runs == 1:
                    await proxy.stop()
                    await proxy.start()
                return await select_one(connection)

            assert await pool.transaction(stop_the_server_once) == 1
            assert runs == 2


async def test_connection_lost_while_borrowed(database_url: str) -> None:
    with trio.fail_after(10):
        async with proxied(database_url) as (proxy, url), open_pool(url, log=LOG, timeouts=QUICK) as pool:
            with pytest.raises(DatabaseUnavailable, match="was lost"):  # noqa: PT012
                async with pool.connection() as connection:
                    await proxy.stop()
                    await select_one(connection)


@pytest.mark.parametrize("paused", ["in a statement", "between two"])
async def test_a_transaction_that_the_server_ended_is_run_again(database_url: str, paused: str) -> None:
    """As for a process that was stopped for a while; psycopg has `transaction_timeout` for a bug."""
    conninfo = make_conninfo(database_url, options="-c transaction_timeout=1s")
    with trio.fail_after(30):
        async with open_pool(conninfo, log=LOG) as pool:
            runs = 0

            async def pause_once(connection: Connection) -> int:
                nonlocal runs
                runs += 1
                if runs == 1:
                    if paused == "in a statement":
                        await connection.execute("SELECT pg_sleep(30)")
                    else:
                        await trio.sleep(1.5)
                return await select_one(connection)

            assert await pool.transaction(pause_once) == 1
            assert runs == 2


async def test_server_that_stops_answering(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.db.connection.CLEANUP_GRACE_S", 0.1)
    with trio.fail_after(10):
        async with proxied(database_url) as (proxy, url), open_pool(url, size=1, log=LOG, timeouts=QUICK) as pool:
            assert await pool.transaction(select_one) == 1
            proxy.silent = True
            with pytest.raises(DatabaseUnavailable, match=r"took longer than 0\.5 s"):
                await pool.transaction(select_one)
            await proxy.stop()
            proxy.silent = False
            await proxy.start()
            assert await pool.transaction(select_one) == 1


async def test_cancelled_while_the_server_does_not_answer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean-up that cannot be done costs the connection, and the cancellation is all that is raised."""
    monkeypatch.setattr("nexus.db.connection.CLEANUP_GRACE_S", 0.1)
    with trio.fail_after(10):
        async with proxied(database_url) as (proxy, url), open_pool(url, log=LOG) as pool:
            with trio.CancelScope() as scope:
                async with pool.connection() as connection, connection.transaction():
                    await select_one(connection)
                    proxy.silent = True
                    scope.cancel()
                    await select_one(connection)
            assert scope.cancelled_caught
            assert connection.closed


async def collide(pool: Pool, keys: tuple[int, int], met: list[trio.Event]) -> int:
    """Lock two rows in the given order, and meet the other one in between on the first run."""
    runs = 0

    async def take_both(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        await connection.execute("UPDATE pair SET n = n + 1 WHERE id = %s", (keys[0],))
        met[keys[0]].set()
        await met[keys[1]].wait()
        await connection.execute("UPDATE pair SET n = n + 1 WHERE id = %s", (keys[1],))

    await pool.transaction(take_both)
    return runs


async def test_deadlock_is_retried(database_url: str) -> None:
    with trio.fail_after(20):
        async with open_pool(database_url, log=LOG) as pool:
            async with pool.connection() as connection:
                await connection.execute("CREATE TABLE pair AS SELECT id, 0 AS n FROM generate_series(0, 1) id")
            met = [trio.Event(), trio.Event()]
            runs: list[int] = []

            async def note(keys: tuple[int, int]) -> None:
                runs.append(await collide(pool, keys, met))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(note, (0, 1))
                nursery.start_soon(note, (1, 0))
            assert sorted(runs) == [1, 2]
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT n FROM pair")
                assert await cursor.fetchall() == [(2,), (2,)]


async def test_serialization_failure_is_retried_until_time_is_up(database_url: str) -> None:
    with trio.fail_after(20):
        async with open_pool(database_url, log=LOG, timeouts=QUICK) as pool:
            runs = 0

            async def fail(connection: Connection, *, times: int) -> int:
                nonlocal runs
                runs += 1
                if runs <= times:
                    await connection.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
                return runs

            assert await pool.transaction(partial(fail, times=2)) == 3
            runs = 0
            with pytest.raises(DatabaseUnavailable, match="too busy"):
                await pool.transaction(partial(fail, times=1_000))
            assert runs > 2


async def test_other_errors_roll_back_and_are_raised_as_they_are(database_url: str) -> None:
    with trio.fail_after(10):
        async with open_pool(database_url, log=LOG) as pool:

            async def create_and_fail(connection: Connection) -> None:
                await connection.execute("CREATE TABLE never (id INT8)")
                await connection.execute("SELECT 1/0")

            with pytest.raises(psycopg.errors.DivisionByZero):
                await pool.transaction(create_and_fail)
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT to_regclass('never')")
                assert await cursor.fetchone() == (None,)


async def test_a_crash_of_everything_at_once_is_only_a_cancellation(database_url: str) -> None:
    """Users of the pool and the pool itself are cancelled together, as when a process is told to stop."""
    chance = random.Random(20260102)

    async def use_for_ever(pool: Pool) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute("SELECT pg_sleep(%s)", (chance.uniform(0, 0.002),))
            async with connection.pipeline():
                for _ in range(3):
                    await connection.execute("SELECT 1")

        while True:
            await pool.transaction(work)

    with trio.fail_after(60):
        for _ in range(30):
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(chance.uniform(0.005, 0.03)):
                    async with open_pool(database_url, size=3, log=LOG) as pool:
                        for _ in range(8):
                            nursery.start_soon(use_for_ever, pool)
                        try:
                            await trio.sleep_forever()
                        finally:
                            nursery.cancel_scope.cancel()
