"""The omdb commands about quiescing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
import trio
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, HANDOFF, INITIAL, SECOND_NEXUS, added, edited_child
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
from nexus.db.blueprint_target import lock_target, replace_target
from nexus.db.blueprints import read_blueprint
from nexus.db.nexus_states import insert_nexus_states
from nexus.db.pool import open_pool
from nexus.db.rack import initialize_rack
from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone
from nexus.ids import NexusId, RackId
from nexus.quiesce.gate import QuiesceGate
from nexus.quiesce.sagas import SagaQuiesce
from nexus.rack import NexusZone
from nexus.saga.ids import SagaId
from nexus.saga.status import PendingSaga

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus.api.quiesce_types import QuiesceState, QuiesceStatus
    from nexus.db.connection import Connection

THIRD_NEXUS = NexusId(UUID("77777777-0000-4000-8000-000000000003"))
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


def expunged() -> QuiesceStatus:
    gate = QuiesceGate(FIRST_NEXUS, now=lambda: NOW)
    third = added(NexusZone(THIRD_NEXUS, FIRST_SLED, "[::1]:12240", "100::3"))
    gate.see(edited_child(INITIAL, third, ExpungeZone(FIRST_NEXUS)))
    return gate.status([], [])


def draining(*steps: Callable[[SagaQuiesce], SagaQuiesce]) -> QuiesceStatus:
    """Without a saga, after these steps."""
    gate = QuiesceGate(FIRST_NEXUS, now=lambda: NOW)
    gate.see(INITIAL)
    gate.request()
    for step in steps:
        gate.sagas = step(gate.sagas)
    gate.sagas = gate.sagas.settled(idle=True)
    return gate.status([], [])


def recovered(sagas: SagaQuiesce) -> SagaQuiesce:
    return sagas.recovery_started().recovered()


def executed(sagas: SagaQuiesce, *, moved: bool = False) -> SagaQuiesce:
    return sagas.reassignment_started().reassigned(INITIAL.id, moved=moved)


STATES = {
    "undetermined": status(Undetermined()),
    "running": status(NotQuiescing()),
    "expunged": expunged(),
    "draining sagas": status(DrainingSagas(DrainingSagasDetails(NOW)), busy=True),
    "draining sagas: none is known yet": draining(),
    "draining sagas: more may come": draining(recovered),
    "draining sagas: more are coming": draining(recovered, executed, SagaQuiesce.reassignment_started),
    "draining sagas: more have come": draining(recovered, partial(executed, moved=True)),
    "draining sagas: drained": draining(recovered, executed),
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


async def bumped(url: str) -> None:
    """A rack whose two Nexuses are to make way for a third."""
    async with open_pool(url, log=structlog.get_logger()) as pool:

        async def initialize(connection: Connection) -> None:
            await initialize_rack(connection, RackId(UUID(int=1)), HANDOFF, nexus_id=FIRST_NEXUS, now=NOW)

        async def bump(connection: Connection) -> None:
            current = await lock_target(connection)
            target = await read_blueprint(connection, current.target.target_id)
            add = added(NexusZone(THIRD_NEXUS, FIRST_SLED, "[::1]:12240", "100::3"), next_generation=True)
            child = edited_child(target, add, BumpNexusGeneration())
            await replace_target(connection, current, child, now=NOW)
            await insert_nexus_states(connection, child, generation=1)

        await pool.transaction(initialize)
        await pool.transaction(bump)


def test_marking_a_nexus_quiesced(database_url: str) -> None:
    trio.run(bumped, database_url)
    command = "db db-metadata force-mark-nexus-quiesced"
    text = ""

    def say(heading: str, arguments: str, typed: str | None = None) -> None:
        nonlocal text
        environ = {"OMDB_DB_URL": database_url}
        text += f"\n# {heading}\n" + transcript([arguments], environ=environ, typed=typed)

    say("Without -w.", f"{command} {SECOND_NEXUS}", "y\n")
    say("No terminal.", f"-w {command} {SECOND_NEXUS}")
    say("The answer is not y.", f"-w {command} {SECOND_NEXUS}", "n\n")
    say("One whose turn it is.", f"-w {command} {THIRD_NEXUS}", "y\n")
    say("… and is not active.", f"-w {command} {THIRD_NEXUS} --skip-blueprint-validation", "y\n")
    say("One that nobody knows.", f"-w {command} {UUID(int=9)}", "y\n")
    say("The answer is y.", f"-w {command} {SECOND_NEXUS}", "y\n")
    say("Again.", f"-w {command} {SECOND_NEXUS} --skip-confirmation")
    say("What came of it.", "db db-metadata ls-nexus")
    text = text.replace(database_url, "DATABASE-URL")
    check_golden("omdb/db_metadata.txt", Redactor().redact_ports(text))
