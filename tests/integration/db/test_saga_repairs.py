"""Repairs of sagas while somebody writes their logs, at either end of isolation."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest
import trio
from database_proxy import proxied
from omdb_driver import NOW
from psycopg.conninfo import conninfo_to_dict
from stored_sagas import FIRST_NEXUS, demo

from nexus.db.saga_reads import OMDB_SEC_ID, find_saga, read_claims, read_events
from nexus.db.saga_repairs import NothingRuns, SagaAtEnd, SagaChanged, abandon, inject_error
from nexus.saga.ids import SagaId
from omdb import database
from omdb.database import Database
from omdb.deadline import Deadline
from omdb.errors import OmdbError
from omdb.log import Log
from omdb.options import DESTRUCTIVE, Settings
from omdb.safety import check_destructive

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = check_destructive(Settings({DESTRUCTIVE: ""}, {}))
SAGA_ID = SagaId(demo(1).id)

LOCK = "SELECT 1 FROM saga WHERE id = %s FOR NO KEY UPDATE"
SUCCEEDED = """
INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator, claim, log_index)
VALUES (%s, 0, 'succeeded', 'null', now(), %s, 1, 3)
"""

inject = partial(inject_error, saga_id=SAGA_ID, claim=1, now=NOW)
give_up = partial(abandon, saga_id=SAGA_ID, claim=1, comment="no", now=NOW)


@contextmanager
def connected(url: str, isolation: str = "read committed") -> Iterator[Database]:
    """By a session whose transactions are of that level unless they say otherwise."""
    escaped = isolation.replace(" ", "%5C%20")
    separator = "&" if "?" in url else "?"
    url = f"{url}{separator}options=-c%20default_transaction_isolation%3D{escaped}"
    opened = Database.connect(url, log=Log("warn", stream=io.StringIO(), now=lambda: datetime.now(UTC)))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def url(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        demo(1).insert(connection)
    return database_url


def state(url: str) -> tuple[str, int, list[str], list[str]]:
    """State, claim, the reasons of the claims, the kinds of the events."""
    with psycopg.connect(url) as connection:
        saga = find_saga(connection, SAGA_ID)
        assert saga is not None
        reasons = [claim.reason for claim in read_claims(connection, SAGA_ID)]
        return saga.state, saga.claim, reasons, [event.kind for event in read_events(connection, SAGA_ID)]


UNTOUCHED = ("running", 1, ["created"], ["started", "succeeded", "started"])


def test_what_an_injection_writes(url: str) -> None:
    with connected(url) as opened:
        assert opened.write(inject, TOKEN) == [0]
        with opened.reading() as connection:
            event = read_events(connection, SAGA_ID)[-1]
            claim = read_claims(connection, SAGA_ID)[-1]
    assert (event.node_id, event.kind, event.creator, event.claim) == (0, "failed", OMDB_SEC_ID, 2)
    assert (claim.claim, claim.sec_id, claim.reason) == (2, OMDB_SEC_ID, "injected")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT max(log_index), count(*) FROM saga_node_event").fetchone()
    assert rows == (3, 4)


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_g4_an_event_that_was_being_written_is_not_missed(url: str, isolation: str) -> None:
    """The node succeeds in a transaction that the injection has to wait for: then there is nothing to inject into."""
    with connected(url, isolation) as opened, psycopg.connect(url) as writer, ThreadPoolExecutor() as threads:
        writer.execute(LOCK, (SAGA_ID,))
        writer.execute(SUCCEEDED, (SAGA_ID, FIRST_NEXUS))
        injecting = threads.submit(opened.write, inject, TOKEN)
        wait_until_somebody_waits(url)
        writer.commit()
        with pytest.raises(NothingRuns):
            injecting.result(30)
    assert state(url) == ("running", 1, ["created"], [*UNTOUCHED[3], "succeeded"])


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_of_two_repairs_at_once_one_is_done(url: str, isolation: str) -> None:
    barrier = threading.Barrier(2)

    def injection(connection: psycopg.Connection) -> object:
        barrier.wait(30)
        return inject(connection)

    def abandonment(connection: psycopg.Connection) -> object:
        barrier.wait(30)
        return give_up(connection)

    with connected(url, isolation) as one, connected(url, isolation) as other, ThreadPoolExecutor() as threads:
        repairs = [threads.submit(one.write, injection, TOKEN), threads.submit(other.write, abandonment, TOKEN)]
        errors = [repair.exception(30) for repair in repairs]
    (refused,) = [error for error in errors if error is not None]
    assert isinstance(refused, SagaChanged | SagaAtEnd)
    assert state(url)[1] == 2


def test_another_claim_since_the_saga_was_looked_at_stops_a_repair(url: str) -> None:
    with connected(url) as opened:
        for repair in (inject, give_up):
            with pytest.raises(SagaChanged, match=r"claim 1, not 7"):
                opened.write(partial(repair, claim=7), TOKEN)
    assert state(url) == UNTOUCHED


def test_a_lock_is_not_waited_for_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_SESSION", f"{database._SESSION} -c lock_timeout=10ms")
    with psycopg.connect(url) as writer, connected(url) as opened:
        writer.execute(LOCK, (SAGA_ID,))
        with pytest.raises(OmdbError, match=r"has locked the saga .* nothing was changed"):
            opened.write(give_up, TOKEN)
        writer.rollback()
    assert state(url) == UNTOUCHED


def test_a_session_that_is_not_repairing_cannot_write(url: str) -> None:
    with connected(url) as opened:
        with pytest.raises(OmdbError, match="read-only transaction"), opened.reading() as connection:
            connection.execute("DELETE FROM saga")
        with pytest.raises(OmdbError, match="read-only transaction"), opened._failures():
            opened._connection.execute("DELETE FROM saga")
    assert state(url) == UNTOUCHED


def test_a_lost_connection_is_told(url: str) -> None:
    with connected(url) as opened:
        with psycopg.connect(url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s)", (opened._connection.info.backend_pid,))
        with pytest.raises(OmdbError, match="the connection was lost"):
            opened.write(give_up, TOKEN)
    assert state(url) == UNTOUCHED


async def test_a_server_that_falls_silent_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SILENCE_TIMEOUT_S", 0.2)

    def repair() -> None:
        with connected(proxy_url) as opened:
            trio.from_thread.run_sync(setattr, proxy, "silent", True)
            opened.write(give_up, TOKEN)

    with trio.fail_after(30):
        async with proxied(url) as (proxy, conninfo):
            proxy_url = f"postgresql://root@127.0.0.1:{proxy.port}/{conninfo_to_dict(conninfo)['dbname']}"
            with pytest.raises(OmdbError, match=r"the connection was lost: no answer in 0\.2 s$"):
                await trio.to_thread.run_sync(repair)


def wait_until_somebody_waits(url: str) -> None:
    deadline = Deadline(30)
    with psycopg.connect(url, autocommit=True) as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while connection.execute(waiting).fetchone() == (0,):
            deadline.remaining_s()
