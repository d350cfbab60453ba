"""Sessions of users, at every isolation level."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trio
from psycopg.conninfo import make_conninfo
from saga_lab import KeptLog

from nexus.db.logins import insert_session
from nexus.db.pool import Pool, open_pool
from nexus.db.silos import SiloUser, insert_silo, insert_user
from nexus.login import NOBODYS_HASH, Logins, _hash

CREATED = datetime(2026, 1, 2, tzinfo=UTC)
TOKEN = "t" * 64


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
async def test_a_session_can_be_used_by_two_requests_at_once(database_url: str, isolation: str) -> None:
    option = isolation.replace(" ", "\\ ")
    conninfo = make_conninfo(database_url, options=f"-c default_transaction_isolation={option}")
    async with open_pool(conninfo, log=KeptLog()) as pool:
        async with pool.connection() as connection:
            silo_id = await insert_silo(connection, "silo", now=CREATED)
            user_id = await insert_user(connection, silo_id, "user", password_hash=NOBODYS_HASH, now=CREATED)
            await insert_session(connection, _hash(TOKEN), user_id, now=CREATED)
        logins = Logins(
            pool,
            idle_timeout=timedelta(hours=1),
            absolute_timeout=timedelta(hours=8),
            now=lambda: CREATED + timedelta(minutes=1),
        )
        users: list[SiloUser] = []

        async def request() -> None:
            users.append(await logins.user(TOKEN))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery, pool.connection() as other, other.transaction():
                await other.execute("UPDATE console_session SET time_last_used = %s", (CREATED + timedelta(seconds=1),))
                nursery.start_soon(request)
                await wait_until_one_waits(pool)
        assert [user.id for user in users] == [user_id]


async def wait_until_one_waits(pool: Pool) -> None:
    """For a lock."""
    async with pool.connection() as connection:
        while True:
            cursor = await connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if await cursor.fetchone() is not None:
                return
            await trio.sleep(0.01)
