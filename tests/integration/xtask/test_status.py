"""`omicron-dev status`: what it says of the sagas in the database, and of Nexuses that answer. `omicron-dev env`: which
of them it prefers.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
from blueprint_lab import FIRST_NEXUS, INITIAL, SECOND_SLED, added, edited_child
from canned_servers import NOT_FOUND, CannedHttp, closed_port
from stored_sagas import RECOVERED_AND_ADOPTED, STUCK, demo

from nexus.api.quiesce_types import Quiesced, QuiescedDetails
from nexus.api.types import Duration
from nexus.deployment.edits import ExpungeZone
from nexus.ids import NexusId
from nexus.quiesce.gate import QuiesceGate
from nexus.rack import NexusZone
from simstack.facts import (
    DatabaseFacts,
    DnsFacts,
    GatewayFacts,
    NexusFacts,
    ServiceState,
    ServiceStatus,
    SiloFacts,
    StackFacts,
    StackStatus,
)
from xtask import status
from xtask.nexus_probe import best_nexus
from xtask.status import SagaOutcomes, count_sagas, examine, sagas_line

if TYPE_CHECKING:
    from nexus.api.quiesce_types import QuiesceStatus


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


NOW = datetime(2024, 8, 12, 20, 0, tzinfo=UTC)
NO_TIME = Duration(0, 0)
ANOTHER = added(NexusZone(NexusId(UUID(int=3)), SECOND_SLED, "[::1]:9", "100::3"))
"""Somebody must be left in service."""


def gate() -> QuiesceGate:
    seeing = QuiesceGate(FIRST_NEXUS, now=lambda: NOW)
    seeing.see(INITIAL)
    return seeing


def running() -> QuiesceStatus:
    return gate().status([], [])


def expunged() -> QuiesceStatus:
    seeing = gate()
    seeing.see(edited_child(INITIAL, ANOTHER, ExpungeZone(FIRST_NEXUS)))
    return seeing.status([], [])


def quiescing() -> QuiesceStatus:
    asked = gate()
    asked.request()
    return asked.status([], [])


def quiesced() -> QuiesceStatus:
    done = gate()
    done.request()
    done.state = Quiesced(QuiescedDetails(NOW, NOW, NO_TIME, NO_TIME, NO_TIME, NO_TIME))
    return done.status([], [])


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ((200, running()), ""),
        ((200, expunged()), "makes no new sagas: it is expunged; `nexus stop` ends it"),
        (
            (200, quiescing()),
            "quiescing; `omdb nexus --nexus-internal-url http://ADDRESS quiesce show` says how far it is",
        ),
        ((200, quiesced()), "quiesced: makes no sagas, and uses the database no more"),
        ((503, NOT_FOUND), ""),
    ],
    ids=["running", "expunged", "quiescing", "quiesced", "says something else"],
)
def test_a_nexus_that_answers_and_makes_no_new_sagas_says_why(answer: tuple[int, object], detail: str) -> None:
    with CannedHttp({"GET /quiesce": answer}).serve() as url:
        address = url.removeprefix("http://")
        (nexus,) = examine(stack_of_a_nexus(address)).services
    assert (nexus.health, nexus.detail.replace(address, "ADDRESS")) == ("answers", detail)


def test_a_nexus_that_says_nothing_is_silent() -> None:
    with closed_port() as port:
        (nexus,) = examine(stack_of_a_nexus(f"127.0.0.1:{port}")).services
    assert (nexus.health, nexus.detail) == ("silent", "")


RUNNING = (200, running())
EXPUNGED = (200, expunged())
QUIESCED = (200, quiesced())
NOT_YET = (503, NOT_FOUND)


@pytest.mark.parametrize(
    ("nexuses", "best"),
    [
        ([("running", RUNNING), ("running", RUNNING)], 1),
        ([("running", QUIESCED), ("running", RUNNING)], 2),
        ([("running", (200, quiescing())), ("running", RUNNING)], 2),
        ([("running", EXPUNGED), ("running", RUNNING)], 2),
        ([("running", NOT_YET), ("running", RUNNING)], 2),
        ([("paused", RUNNING), ("running", RUNNING)], 2),
        ([("standby", NOT_YET), ("running", QUIESCED)], 2),
        ([("running", None), ("running", EXPUNGED)], 2),
        ([("exited", None), ("standby", NOT_YET)], 2),
        ([("expunged", None), ("running", None)], 2),
        ([("exited", None), ("killed", None)], 1),
    ],
)
def test_omdb_is_pointed_at_the_nexus_that_can_do_most(
    nexuses: list[tuple[ServiceState, tuple[int, object] | None]], best: int
) -> None:
    """Those without an answer do not answer. One that has ended may have no address on the board any more."""
    facts, services = [], []
    with ExitStack() as stack:
        for number, (state, answer) in enumerate(nexuses, 1):
            if answer is None:
                address = f"127.0.0.1:{stack.enter_context(closed_port())}"
            else:
                url = stack.enter_context(CannedHttp({"GET /quiesce": answer}).serve())
                address = url.removeprefix("http://")
            facts.append(NexusFacts(UUID(int=number), "", address, 1, "", ""))
            on_board = "" if state in ("exited", "standby") else address
            services.append(ServiceStatus(f"nexus{number}", "nexus", state, on_board, 1, 1.0))
        status = stack_of(facts, services)
        chosen = best_nexus(status)
    assert chosen.id == UUID(int=best)
    assert status.environment(chosen)["OMDB_NEXUS_URL"] == f"http://{facts[best - 1].internal_address}"


def stack_of_a_nexus(address: str) -> StackStatus:
    """One that runs at `address`."""
    return stack_of([], [ServiceStatus("nexus1", "nexus", "running", address, 1, 1.0)])


def stack_of(nexuses: list[NexusFacts], services: list[ServiceStatus]) -> StackStatus:
    """Without a database."""
    facts = StackFacts(
        name="test",
        pid=1,
        directory="",
        log="",
        nexuses=nexuses,
        database=DatabaseFacts("postgres", 1, "postgresql://root@127.0.0.1:1/omicron", "127.0.0.1:1", "", ""),
        internal_dns=DnsFacts("", "", ""),
        external_dns=DnsFacts("", "", ""),
        gateways=[GatewayFacts("switch0", "", "")],
        silo=SiloFacts("", "", ""),
        second_nexus_config="",
    )
    return StackStatus(facts, 1.0, services)
