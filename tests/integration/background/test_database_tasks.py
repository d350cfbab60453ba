"""The tasks that only need the database: external endpoints and session clean-up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec
import structlog
import trio

from nexus.background.tasks.external_endpoints import ExternalEndpointsTask
from nexus.background.tasks.session_cleanup import SessionCleanup
from nexus.db import external_endpoints
from nexus.db.pool import open_pool

if TYPE_CHECKING:
    import pytest

    from nexus.db.pool import Pool

LOG = structlog.get_logger()
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


async def add_silo(pool: Pool, name: str, *, discoverable: bool = True) -> UUID:
    silo_id = uuid4()
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO silo VALUES (%s, %s, %s, %s)", (silo_id, name, discoverable, NOW))
    return silo_id


async def test_external_endpoints(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_endpoints, "SILOS_PER_PAGE", 2)
    with trio.fail_after(20):
        async with open_pool(database_url, log=LOG) as pool:
            silos = {f"{name}.sys.oxide-dev.test": await add_silo(pool, name) for name in "abcde"}
            async with pool.connection() as connection:
                await connection.execute(
                    "INSERT INTO dns_zone VALUES (%s, 'external', 'oxide-dev.test', now())", (uuid4(),)
                )
            details = json.loads(msgspec.json.encode(await ExternalEndpointsTask(pool=pool).activate()))
    assert details["by_dns_name"] == {
        name: {"silo_id": str(silo_id), "tls_certs": []} for name, silo_id in silos.items()
    }
    assert details["default_endpoint"] == {"silo_id": str(silos["a.sys.oxide-dev.test"]), "tls_certs": []}
    assert len(details["warnings"]) == 5


async def test_session_cleanup(database_url: str) -> None:
    with trio.fail_after(20):
        async with open_pool(database_url, log=LOG) as pool:
            silo_id, user_id = await add_silo(pool, "silo"), uuid4()
            sessions = {
                "fresh": (HOUR, HOUR),
                "old but in use": (23 * HOUR, timedelta(0)),
                "too old": (25 * HOUR, timedelta(0)),
                "much too old": (9 * DAY, 2 * HOUR),
                "idle": (9 * HOUR, 9 * HOUR),
            }
            async with pool.connection() as connection:
                await connection.execute("INSERT INTO silo_user VALUES (%s, %s, 'user', %s)", (user_id, silo_id, NOW))
                for name, (age, idle) in sessions.items():
                    await connection.execute(
                        "INSERT INTO console_session VALUES (%s, %s, %s, %s, %s)",
                        (uuid4(), name.encode(), user_id, NOW - age, NOW - idle),
                    )
            task = SessionCleanup(pool=pool, idle_timeout=8 * HOUR, absolute_timeout=DAY, limit=2, now=lambda: NOW)
            assert await task.activate() == {"deleted": 2, "limit": 2}
            assert await left(pool) == {"fresh", "old but in use", "idle"}, "the oldest go first"
            assert await task.activate() == {"deleted": 1, "limit": 2}
            assert await task.activate() == {"deleted": 0, "limit": 2}
            assert await left(pool) == {"fresh", "old but in use"}


async def left(pool: Pool) -> set[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT token_hash FROM console_session")
        return {token.decode() for (token,) in await cursor.fetchall()}
