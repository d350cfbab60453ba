"""An ephemeral Postgres server: start, stop, start again, death, and what others may already listen on."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import psycopg
import pytest
import trio

from simstack.cluster_config import ClusterConfig, Durability
from simstack.directory import stack_directory, stacks_root
from simstack.errors import PortTaken, PostgresError
from simstack.loopback import free_port, loopback_hosts
from simstack.postgres import open_postgres
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 30.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the server's account can reach; pytest's own are closed to others."""
    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog:
        watchdog.postgres(directory.path / "postgres" / "data")
        yield directory.path


def config(place: Path, **choices: object) -> ClusterConfig:
    return ClusterConfig(directory=place / "postgres", log_path=place / "postgres.log", **choices)  # type: ignore[arg-type]


def ask(url: str, query: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


async def test_answers_on_every_loopback_address_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMSTACK_POSTGRES_SETTINGS", "work_mem=12MB 'default_transaction_isolation=repeatable read'")
    with trio.fail_after(TIMEOUT_S):
        schema = place / "0001.sql"
        schema.write_text("CREATE TABLE answer (value INT8);\n\nINSERT INTO answer VALUES (42);\n")
        settings = {"default_transaction_isolation": "serializable"}
        async with open_postgres(config(place, schema=[schema], settings=settings)) as cluster:
            for host in loopback_hosts():
                with psycopg.connect(cluster.url, host=host) as connection:
                    assert connection.execute("SELECT value FROM answer").fetchone() == (42,)
            assert cluster.url == f"postgresql://root@{cluster.address}/omicron?sslmode=disable"
            for name, value in {
                "data_directory": str(cluster.directory / "data"),
                "default_transaction_isolation": "serializable",
                "fsync": "off",
                "lc_messages": "C",
                "server_encoding": "UTF8",
                "synchronous_commit": "on",
                "TimeZone": "UTC",
                "unix_socket_directories": "",
                "work_mem": "12MB",
            }.items():
                assert ask(cluster.url, f"SELECT current_setting('{name}')") == value
            assert ask(cluster.url, "SELECT current_user") == "root"
            pid = cluster.pid
            assert pid is not None
        assert not cluster.directory.exists()
        assert cluster.log_path.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_stop_and_start_keep_port_and_data(place: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        choices = config(place, durability=Durability.POWER_LOSS)
        async with open_postgres(choices) as cluster, trio.open_nursery() as nursery:
            assert ask(cluster.url, "SELECT current_setting('fsync')") == "on"
            with psycopg.connect(cluster.url) as connection:
                connection.execute("CREATE TABLE kept ()")
            deaths: list[str] = []

            async def report_deaths() -> None:
                deaths.append(str(await cluster.wait_exit()))

            nursery.start_soon(report_deaths)
            with psycopg.connect(cluster.url):  # a client that stays does not hold up a stop
                await cluster.stop()
            await cluster.stop()
            assert cluster.pid is None
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(cluster.url)
            assert deaths == []
            await cluster.start()
            await cluster.start()
            assert ask(cluster.url, "SELECT count(*) FROM kept") == "0"
            assert deaths == []
            assert cluster.pid is not None
            os.kill(cluster.pid, signal.SIGKILL)
        assert deaths == ["killed by SIGKILL"]


async def test_a_commit_survives_kill_9(place: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with open_postgres(config(place)) as cluster:
            with psycopg.connect(cluster.url) as connection:
                connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000)")
            assert cluster.pid is not None
            os.kill(cluster.pid, signal.SIGKILL)
            assert str(await cluster.wait_exit()) == "killed by SIGKILL"
            await cluster.stop()  # what a user may do about it
            await cluster.start()
            assert ask(cluster.url, "SELECT count(*) FROM kept") == "1000"


@pytest.mark.parametrize("host", loopback_hosts())
async def test_a_taken_port_is_one_clear_line(place: Path, host: str) -> None:
    port = free_port(loopback_hosts())
    with trio.fail_after(TIMEOUT_S), socket.create_server((host, port), family=family(host)):
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with pytest.raises(PortTaken, match=r"^\S+ is already in use$") as caught:
            async with open_postgres(config(place, port=port)):
                pass
        assert shown in str(caught.value)
    assert not (place / "postgres").exists()


async def test_an_address_that_only_the_server_could_not_bind_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody binds between our look and Postgres', to whom it is only a warning."""
    from simstack import cluster

    with trio.fail_after(TIMEOUT_S), socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        ports = iter([port, free_port(loopback_hosts())])
        monkeypatch.setattr(cluster, "free_port", lambda _hosts: next(ports))
        async with open_postgres(config(place)) as started:
            assert started.address.port != port


async def test_a_setting_it_does_not_know_is_said_in_one_line(place: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        with pytest.raises(PostgresError, match="unrecognized configuration parameter") as caught:
            async with open_postgres(config(place, settings={"no_such_setting": "1"})):
                pass
        assert "\n" not in str(caught.value)
        assert not (place / "postgres").exists()


async def test_a_directory_that_exists_is_said_in_one_line(place: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        os.mkdir(place / "postgres")
        with pytest.raises(PostgresError, match=r"^cannot start Postgres in \S+: .*File exists"):
            async with open_postgres(config(place)):
                pass
        assert (place / "postgres").exists(), "it was not ours to remove"


async def test_a_start_that_is_cancelled_leaves_nothing(place: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        with trio.move_on_after(0.03) as scope:
            async with open_postgres(config(place)):
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert not (place / "postgres").exists()


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
