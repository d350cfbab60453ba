"""The omdb commands about quiescing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from blueprint_lab import FIRST_NEXUS, INITIAL
from canned_servers import REQUEST_ID, CannedHttp
from golden_files import check_golden
from omdb_driver import transcript
from redact import Redactor

from nexus.api.quiesce_types import (
    DrainingDb,
    DrainingDbDetails,
    DrainingSagas,
    DrainingSagasDetails,
    HeldDbClaimInfo,
    NotQuiescing,
    PendingRecovery,
    Quiesced,
    QuiescedDetails,
    RecordingQuiesce,
    RecordingQuiesceDetails,
    Undetermined,
)
from nexus.api.types import Duration
from nexus.quiesce.gate import QuiesceGate
from nexus.saga.ids import SagaId
from nexus.saga.status import PendingSaga

if TYPE_CHECKING:
    from nexus.api.quiesce_types import QuiesceState, QuiesceStatus

NOW = datetime(2024, 8, 12, 20, 0, tzinfo=UTC)
SAGAS, DB, RECORDING = (Duration(seconds, 0) for seconds in (75, 1, 2))
CLAIMS = [HeldDbClaimInfo(3, NOW, "nexus.background.driver.Driver._run_task\x1b[2J")]


def status(state: QuiesceState, *, busy: bool = False) -> QuiesceStatus:
    gate = QuiesceGate(FIRST_NEXUS, now=lambda: NOW)
    if not isinstance(state, Undetermined):
        gate.see(INITIAL)
        gate.sagas = gate.sagas.recovery_started().recovered().reassigned(INITIAL.id, moved=False)
    if not isinstance(state, Undetermined | NotQuiescing):
        gate.request()
        gate.sagas = gate.sagas.settled(idle=not busy)
    gate.state = state
    pending = []
    if busy:
        gate.sagas = replace(
            gate.sagas.reassignment_started(), reassignment_generation=2, recovery_pending=PendingRecovery(2, None)
        )
        pending = [
            PendingSaga(SagaId(UUID(int=number)), name, NOW + timedelta(seconds=number), recovered=False)
            for number, name in enumerate(("demo", "odd\nname"), 1)
        ]
    return gate.status(pending, CLAIMS if busy else [])


STATES = {
    "undetermined": status(Undetermined()),
    "running": status(NotQuiescing()),
    "draining sagas": status(DrainingSagas(DrainingSagasDetails(NOW)), busy=True),
    "draining the database": status(DrainingDb(DrainingDbDetails(NOW, SAGAS))),
    "recording": status(RecordingQuiesce(RecordingQuiesceDetails(NOW, SAGAS, DB))),
    "quiesced": status(Quiesced(QuiescedDetails(NOW, NOW, SAGAS, DB, RECORDING, Duration(78, 0)))),
}


def test_quiesce() -> None:
    canned = CannedHttp({"POST /quiesce": (204, b"")})
    text = ""
    with canned.serve() as url:
        for heading, shown in STATES.items():
            canned.answers["GET /quiesce"] = (200, shown)
            text += f"\n# {heading}\n" + transcript(["nexus quiesce show"], environ={"OMDB_NEXUS_URL": url})
        canned.answers["GET /quiesce"] = (200, STATES["draining sagas"])
        commands = ["nexus quiesce show --stacks", "nexus quiesce show -s", "nexus quiesce start"]
        commands += ["-w nexus quiesce start", "nexus quiesce stop"]
        text += "\n" + transcript(commands, environ={"OMDB_NEXUS_URL": url})
        canned.answers["GET /quiesce"] = (503, {"request_id": REQUEST_ID, "message": "this Nexus is starting up"})
        text += "\n" + transcript(["nexus quiesce show"], environ={"OMDB_NEXUS_URL": url})
        assert [request for request, _, _ in canned.requests].count("POST /quiesce") == 1
    check_golden("omdb/quiesce.txt", Redactor().redact_ports(text))
