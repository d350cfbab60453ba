"""How far a Nexus has come in quiescing, as upstream prints it, and what it waits for, as far as that can be told from
its answer. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nexus.api.quiesce_types import (
    DrainingDb,
    DrainingSagas,
    NotQuiescing,
    Quiesced,
    RecordingQuiesce,
    SagasAllowed,
    Undetermined,
)
from nexus.api.types import Duration
from omdb.render.text import line, printable
from omdb.render.times import human, to_seconds, whole_seconds_since

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from nexus.api.quiesce_types import HeldDbClaimInfo, QuiesceStatus, SagaQuiesceStatus
    from omdb.render.text import Line

_ALLOWED: dict[SagasAllowed, str] = {
    "allowed": "Allowed",
    "disallowed_quiesce": "DisallowedQuiesce",
    "disallowed_unknown": "DisallowedUnknown",
}


def quiesce_lines(status: QuiesceStatus, *, now: datetime, stacks: bool) -> list[Line]:
    """`stacks`: print also which task has each database connection."""
    return [
        *map(line, _state(status, now)),
        *map(line, _sagas(status.sagas)),
        *map(line, _claims(status.db_claims, stacks=stacks)),
    ]


def _state(status: QuiesceStatus, now: datetime) -> list[str]:
    match status.state:
        case Undetermined():
            return ["has not yet determined if it is quiescing"]
        case NotQuiescing():
            running = "running normally (not quiesced, not quiescing)"
            return [running, "details: makes no new sagas: its zone is expunged"] if status.is_expunged else [running]
        case DrainingSagas(details):
            return [
                f"quiescing since {_since(details.time_requested, now)}",
                f"details: {_awaited(status.sagas)}",
            ]
        case DrainingDb(details):
            return [
                f"quiescing since {_since(details.time_requested, now)}",
                "details: waiting for database connections to be released",
                f"    previously: waiting for sagas took {human(details.duration_draining_sagas)}",
            ]
        case RecordingQuiesce(details):
            return [
                f"quiescing since {_since(details.time_requested, now)}",
                f"    waiting for sagas took {human(details.duration_draining_sagas)}",
                f"    waiting for database connections took {human(details.duration_draining_db)}",
            ]
        case Quiesced(details):
            return [
                f"quiesced since {_since(details.time_quiesced, now)}",
                f"    waiting for sagas took {human(details.duration_draining_sagas)}",
                f"    waiting for database connections took {human(details.duration_draining_db)}",
                f"    recording quiesce took {human(details.duration_recording_quiesce)}",
                f"    total quiesce time: {human(details.duration_total)}",
            ]
    assert_never(status.state)


def _awaited(sagas: SagaQuiesceStatus) -> str:
    """By one that drains its sagas. Upstream says the first of these, whatever it waits for."""
    if sagas.sagas_pending:
        return "waiting for running sagas to finish"
    if sagas.reassignment_pending:
        return "waiting for sagas of expunged Nexuses to be reassigned"
    if not sagas.first_recovery_complete or sagas.recovered_reassignment_generation < sagas.reassignment_generation:
        return "waiting for sagas that are assigned to this Nexus to be recovered"
    if sagas.drained_blueprint_id is None:
        return "no sagas left; waiting for the target blueprint to be executed"
    return "drained; waiting until every Nexus of its generation is drained as of the target blueprint"


def _sagas(sagas: SagaQuiesceStatus) -> list[str]:
    recovery = sagas.recovery_pending
    pending = (
        "no"
        if recovery is None
        else f"yes (generation {recovery.generation}, blueprint id {_none_or(recovery.blueprint_id)})"
    )
    return [
        "saga quiesce:",
        f"    new sagas: {_ALLOWED[sagas.new_sagas_allowed]}",
        f"    drained as of blueprint: {_none_or(sagas.drained_blueprint_id)}",
        f"    blueprint for last completed recovery pass: {_none_or(sagas.recovered_blueprint_id)}",
        f"    blueprint for last reassignment pass: {_none_or(sagas.reassignment_blueprint_id)}",
        f"    reassignment generation: {sagas.reassignment_generation}"
        f" (pass running: {_yes_no(sagas.reassignment_pending)})",
        f"    recovered generation: {sagas.recovered_reassignment_generation}",
        f"    recovered at least once successfully: {_yes_no(sagas.first_recovery_complete)}",
        f"    recovery pending: {pending}",
        f"    sagas running: {len(sagas.sagas_pending)}",
        *(
            f"        saga {saga.saga_id} pending since {to_seconds(saga.time_pending)} ({printable(saga.saga_name)})"
            for saga in sagas.sagas_pending
        ),
    ]


def _claims(claims: Sequence[HeldDbClaimInfo], *, stacks: bool) -> list[str]:
    lines = [f"database connections held: {len(claims)}"]
    for claim in claims:
        lines.append(f"    claim {claim.id} held since {to_seconds(claim.held_since)}")
        if stacks:
            lines += [f"        {printable(part)}" for part in claim.debug.splitlines()]
    return lines


def _since(time: datetime, now: datetime) -> str:
    return f"{to_seconds(time)} ({human(Duration(max(0, whole_seconds_since(time, now)), 0))} ago)"


def _none_or(id_: UUID | None) -> str:
    return "none" if id_ is None else str(id_)


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
