"""Template clusters: from cache, spare or scratch, the data directory is the same."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from simstack import template
from simstack.account import server_account
from simstack.binaries import PostgresBinaries, find_binaries
from simstack.cache import cache_directory
from simstack.cluster import EphemeralPostgresql, boot_cluster, running_cluster
from simstack.cluster_config import ClusterConfig
from simstack.directory import stack_directory, stacks_root
from simstack.errors import PostgresError
from simstack.template import ClusterSource, Schema
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simstack.directory import StackDirectory


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[StackDirectory]:
    """A stack's directory, with a cache of its own in it."""
    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog:
        watchdog.postgres(directory.path / "postgres" / "data")
        monkeypatch.setenv("XDG_CACHE_HOME", str(directory.path / "cache"))
        (directory.path / "cache").mkdir(mode=0o711)
        yield directory


@pytest.fixture
def place(directory: StackDirectory) -> Path:
    return directory.path


@pytest.fixture(scope="module")
def binaries() -> PostgresBinaries:
    account = server_account()
    return find_binaries(account=account, cache=cache_directory(account))


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Templates are a file or two instead of a cluster; this is where they were built."""
    built: list[Path] = []

    def initialize(_: ClusterSource, data: Path) -> None:
        built.append(data)
        (data / "PG_VERSION").write_text("18")

    monkeypatch.setattr(ClusterSource, "_initialize", initialize)
    monkeypatch.setattr(template, "run_tool", lambda *_, **__: "")
    return built


def source(binaries: PostgresBinaries, *texts: str, cache: Path | None = None) -> ClusterSource:
    account = server_account()
    files = tuple((f"{number:04}.sql", text) for number, text in enumerate(texts, start=1))
    return ClusterSource(
        binaries=binaries, schema=Schema(files), account=account, cache=cache or cache_directory(account)
    )


def config(place: Path) -> ClusterConfig:
    return ClusterConfig(directory=place / "postgres", log_path=place / "postgres.log", schema=[place / "1.sql"])


def provision_of(server: EphemeralPostgresql) -> str:
    assert server.provision is not None
    return server.provision.source


def templates(place: Path) -> set[str]:
    return {path.name for path in (place / "cache/omicron-dev/templates").iterdir()}


def home_of(cluster: ClusterSource, place: Path) -> Path:
    return place / "cache/omicron-dev/templates" / cluster.key


class TestRealClusters:
    def test_a_spare_is_claimed_once_and_a_damaged_template_is_made_again(self, place: Path) -> None:
        (place / "1.sql").write_text("CREATE TABLE answer (value INT8);\n")
        with running_cluster(config(place)) as server:
            assert provision_of(server) == "template"
            assert server.source.refill_spare(threading.Event())
        with running_cluster(config(place)) as server:
            assert provision_of(server) == "spare"
            with psycopg.connect(server.url()) as connection:
                assert connection.execute("SELECT count(*) FROM answer").fetchone() == (0,)
        (home_of(server.source, place) / "data/global/pg_control").unlink()
        with running_cluster(config(place)):
            assert templates(place) == set()

    def test_sql_is_taken_as_it_is_written_also_without_a_cache(self, place: Path, binaries: PostgresBinaries) -> None:
        tricky = """-- a comment; with a semicolon
CREATE FUNCTION twice(n INT8) RETURNS INT8 LANGUAGE plpgsql AS $$
BEGIN

    n := n * 2;

    RETURN n;
END;

$$;

CREATE TABLE t (line TEXT DEFAULT 'a

b\\c');
INSERT INTO t DEFAULT VALUES
-- no semicolon at the end"""
        without_cache = source(binaries, tricky, cache=place / "missing")
        server = EphemeralPostgresql(config(place), account=server_account(), binaries=binaries, source=without_cache)
        server.setup()
        try:
            assert provision_of(server) == "initdb"
            server.start()
            with psycopg.connect(server.url()) as connection:
                assert connection.execute("SELECT twice(21)").fetchone() == (42,)
                assert connection.execute("SELECT line FROM t").fetchone() == ("a\n\nb\\c",)
        finally:
            server.stop()

    def test_a_schema_file_with_an_error_is_named_and_not_cached(self, place: Path) -> None:
        (place / "1.sql").write_text("CREATE TABLE answer ();\nINSERT INTO answr VALUES (1);\n")
        with pytest.raises(PostgresError, match=r'^schema file 1\.sql: .*"answr" does not exist') as caught:
            boot_cluster(config(place))
        assert "\n" not in str(caught.value)
        assert not {name for name in templates(place) if not name.endswith(".partial")}
        assert not (place / "postgres").exists()


class TestCache:
    def test_a_spare_of_another_boot_is_not_used(
        self, place: Path, binaries: PostgresBinaries, builds: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster = source(binaries)
        cluster.provide(place / "first")
        assert cluster.refill_spare(threading.Event())
        assert cluster.refill_spare(threading.Event()), "it is there"
        (old,) = home_of(cluster, place).glob("spare-*")
        monkeypatch.setattr(template, "boot_id", lambda: "after a power cut")
        assert cluster.provide(place / "second").source == "template"
        assert cluster.refill_spare(threading.Event())
        (new,) = home_of(cluster, place).glob("spare-*")
        assert new != old
        assert cluster.provide(place / "third").source == "spare"
        assert len(builds) == 1

    def test_refilling_stops_when_told_to_and_leaves_no_half_copy(
        self, place: Path, binaries: PostgresBinaries, builds: list[Path]
    ) -> None:
        cluster = source(binaries)
        cluster.provide(place / "data")
        (builds[0].parent.with_name(cluster.key) / "data" / "sparse").touch()
        os.truncate(home_of(cluster, place) / "data" / "sparse", 1 << 40)
        stop = threading.Event()
        stop.set()
        assert not cluster.refill_spare(stop)
        assert [path.name for path in home_of(cluster, place).glob("spare*")] == ["spare.lock"]

    def test_a_half_built_template_is_built_anew(
        self, place: Path, binaries: PostgresBinaries, builds: list[Path]
    ) -> None:
        cluster = source(binaries)
        home = home_of(cluster, place)
        partial = home.with_name(f"{home.name}.partial")
        (partial / "data").mkdir(parents=True)
        (partial / "data/half").touch()
        partial.parent.chmod(0o711)
        assert cluster.provide(place / "data").source == "template"
        assert [path.name for path in (place / "data").iterdir()] == ["PG_VERSION"]
        assert not partial.exists()
        assert len(builds) == 1

    def test_every_input_has_its_own_template_and_old_ones_go(
        self, place: Path, binaries: PostgresBinaries, builds: list[Path]
    ) -> None:
        keys = []
        for number in range(template.KEPT_TEMPLATES + 2):
            cluster = source(binaries, f"SELECT {number};")
            cluster.provide(place / f"data-{number}")
            keys.append(cluster.key)
            os.utime(home_of(cluster, place), (number, number))
        assert len(set(keys)) == len(builds) == len(keys)
        assert templates(place) == set(keys[-template.KEPT_TEMPLATES :])

    def test_starts_at_once_build_one_template(
        self, place: Path, binaries: PostgresBinaries, builds: list[Path]
    ) -> None:
        with ThreadPoolExecutor() as pool:
            provisions = list(pool.map(source(binaries).provide, [place / f"data-{number}" for number in range(4)]))
        assert [provision.source for provision in provisions] == ["template"] * 4
        assert len(builds) == 1

    def test_a_template_that_cannot_be_copied_is_not_kept(
        self, place: Path, binaries: PostgresBinaries, builds: list[Path]
    ) -> None:
        cluster = source(binaries)
        cluster.provide(place / "first")
        (home_of(cluster, place) / "data/PG_VERSION").unlink()
        (home_of(cluster, place) / "data").rmdir()
        assert cluster.provide(place / "second").source == "initdb"
        assert cluster.provide(place / "third").source == "template"
        assert len(builds) == 3
