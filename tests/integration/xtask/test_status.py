"""`omicron-dev status`: what it says of the sagas in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from canned_servers import closed_port
from stored_sagas import FIRST_NEXUS, RECOVERED_AND_ADOPTED, STUCK, demo

from xtask import status
from xtask.status import SagaOutcomes, count_sagas, sagas_line

if TYPE_CHECKING:
    import pytest


def test_done_sagas_that_failed_or_are_stuck_are_told_apart(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = demo(3, until=3, state="done", created_s=2)
    failed.events.append((0.004, 0, "failed", '"InjectedError"', FIRST_NEXUS, 1))
    with psycopg.connect(database_url) as connection:
        for saga in (demo(1), demo(2), RECOVERED_AND_ADOPTED, STUCK, failed):
            saga.insert(connection)
    assert count_sagas(database_url) == ({"done": 3, "running": 2}, SagaOutcomes(failed=1, stuck=1))
    monkeypatch.setattr(status, "OUTCOMES_LIMIT", 1)
    assert count_sagas(database_url) == ({"done": 3, "running": 2}, SagaOutcomes(failed=1, stuck=0))


def test_no_database() -> None:
    with closed_port() as port:
        assert count_sagas(f"postgresql://root@127.0.0.1:{port}/omicron") is None


def test_the_line_about_sagas() -> None:
    none = SagaOutcomes(failed=0, stuck=0)
    assert sagas_line(None, None) == "sagas: unknown, the database does not answer"
    assert sagas_line({}, none) == "sagas: none"
    assert sagas_line({"done": 2, "running": 1}, none) == "sagas: 2 done, 1 running"
    assert sagas_line({"running": 1}, none) == "sagas: 1 running"
    both = SagaOutcomes(failed=1, stuck=2)
    assert sagas_line({"done": 4, "running": 5}, both) == "sagas: 4 done (1 failed, 2 stuck), 5 running"
    assert sagas_line({"done": 10_000}, SagaOutcomes(0, 2)) == "sagas: 10000 done (2 stuck)"
    assert sagas_line({"done": 10_001}, none) == "sagas: 10001 done (of the newest 10000: none failed or stuck)"
    assert sagas_line({"done": 10_001}, both) == "sagas: 10001 done (of the newest 10000: 1 failed, 2 stuck)"
