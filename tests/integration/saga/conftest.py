"""Stores to test: the one in memory, and Postgres at the default and at the strictest isolation."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from saga_lab import KeptLog

from nexus.db.pool import open_pool
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.store import InMemorySecStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nexus.saga.store import SecStore

    OpenStore = Callable[[], AbstractAsyncContextManager[SecStore]]

SERIALIZABLE = "?options=-c%20default_transaction_isolation%3Dserializable"


@pytest.fixture(params=["", SERIALIZABLE], ids=["read committed", "serializable"])
def conninfo(request: pytest.FixtureRequest, database_url: str) -> str:
    return f"{database_url}{request.param}"


@pytest.fixture(params=["memory", "postgres", "serializable postgres"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens the store, its log writer running. Opened again it is the same sagas, as another process sees them."""
    if request.param == "memory":
        memory = InMemorySecStore()

        @asynccontextmanager
        async def open_memory() -> AsyncIterator[SecStore]:
            yield memory

        return open_memory
    conninfo = request.getfixturevalue("database_url")
    if request.param == "serializable postgres":
        conninfo += SERIALIZABLE

    @asynccontextmanager
    async def open_postgres() -> AsyncIterator[SecStore]:
        async with open_pool(conninfo, log=KeptLog()) as pool, trio.open_nursery() as nursery:
            store = PostgresSecStore(pool, log=KeptLog())
            await nursery.start(store.run)
            with trio.fail_after(30):
                yield store
            nursery.cancel_scope.cancel()

    return open_postgres
