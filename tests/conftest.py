"""Runs `async def` tests under trio."""

from __future__ import annotations

import inspect
import os
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import trio
import trio.testing
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    """A test that asks for it runs on a clock that jumps as soon as every task waits. No real I/O beside it."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    trio.run(partial(pyfuncitem.obj, **arguments), clock=arguments.get("autojump_clock"), strict_exception_groups=True)
    return True


@pytest.fixture
def database_url() -> Iterator[str]:
    """A database of its own with the schema, dropped afterwards."""
    server = os.environ["TEST_DATABASE_SERVER"]
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with psycopg.connect(f"{server}/{name}") as fresh:
            for path in sorted((Path(__file__).parents[1] / "nexus/db/schema").glob("*.sql")):
                fresh.execute(path.read_text())
        yield f"{server}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
