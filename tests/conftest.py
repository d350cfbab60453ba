"""Runs `async def` tests under trio, and gives a test a database of its own."""

from __future__ import annotations

import inspect
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import trio
import trio.testing
from psycopg import sql

from simstack.cluster_config import ClusterConfig
from simstack.directory import stack_directory, stacks_root
from simstack.template import DATABASE, SUPERUSER
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    """A test that asks for it runs on a clock that jumps as soon as every task waits. No real I/O beside it."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.fixture
def steered_clock() -> trio.testing.MockClock:
    """A test that asks for it runs on a clock that goes as it should, and that the test may set forward."""
    return trio.testing.MockClock(rate=1)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    clock = arguments.get("autojump_clock") or arguments.get("steered_clock")
    trio.run(partial(pyfuncitem.obj, **arguments), clock=clock, strict_exception_groups=True)
    return True


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    url: str
    """`postgresql://user@host:port`, to which the name of a database is added."""
    template: str
    """A database with the schema, which nobody connects to."""

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make a database of its own with the schema, and drop it at the end."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(self.template)))
            try:
                yield f"{self.url}/{name}"
            finally:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """A server for this session (with pytest-xdist: for each worker), or the one that TEST_DATABASE_SERVER names."""
    given = os.environ.get("TEST_DATABASE_SERVER")
    with given_server(given) if given else ephemeral_server() as server:
        yield server


@pytest.fixture
def database_url(database_server: DatabaseServer) -> Iterator[str]:
    """A database of its own with the schema, dropped afterwards."""
    with database_server.database() as url:
        yield url


@contextmanager
def ephemeral_server() -> Iterator[DatabaseServer]:
    from simstack.cluster import running_cluster

    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog:
        config = ClusterConfig(
            directory=directory.path / "postgres", log_path=directory.path / "postgres.log", schema=schema_paths()
        )
        watchdog.postgres(config.data_directory)
        with running_cluster(config) as cluster:
            yield DatabaseServer(f"postgresql://{SUPERUSER}@{cluster.address}", DATABASE)


@contextmanager
def given_server(url: str) -> Iterator[DatabaseServer]:
    template = f"test_template_{uuid.uuid4().hex}"
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
        try:
            with psycopg.connect(f"{url}/{template}") as fresh:
                for path in schema_paths():
                    fresh.execute(path.read_text(encoding="utf-8"))
            yield DatabaseServer(url, template)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(template)))


def schema_paths() -> list[Path]:
    return sorted((Path(__file__).parents[1] / "nexus/db/schema").glob("*.sql"))
