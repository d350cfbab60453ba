"""What the database says of sagas, for people who look into it: read-only.

For omdb, on a plain psycopg connection: the store that runs sagas reads them by itself, on trio and under its claim
(`nexus.saga.postgres`). Call these inside one transaction of a fixed snapshot where more than one answer is wanted: a
saga that runs goes on meanwhile.

Nothing is interpreted here. States, kinds and reasons are the database's own words, JSON is its own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from nexus.saga.ids import NodeId, SagaId, SecId

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

OMDB_SEC_ID = SecId(UUID("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"))
"""Upstream's: who wrote an event or took a claim, if it was a person with omdb. No random UUID is like it."""

COLUMNS = """
id, name, saga_state, time_created, creator, current_sec, adopt_generation, claim,
abandon_time, abandon_reason, abandon_comment
"""

LIST_IN_PROGRESS = f"""
SELECT {COLUMNS} FROM saga WHERE saga_state IN ('running', 'unwinding') ORDER BY time_created DESC, id LIMIT %s
"""

FIND = f"SELECT {COLUMNS} FROM saga WHERE id = %s"

READ_DAG = "SELECT saga_dag::text FROM saga WHERE id = %s"

READ_EVENTS = """
SELECT node_id, event_type, data::text, event_time, creator, claim FROM saga_node_event
WHERE saga_id = %s ORDER BY event_time, log_index
"""

READ_CLAIMS = """
SELECT claim, sec_id, adopt_generation, time, reason FROM saga_claim WHERE saga_id = %s ORDER BY claim
"""

READ_ATTEMPTS = """
SELECT node_id, kind, attempt, claim, time, error::text FROM saga_node_attempt
WHERE saga_id = %s ORDER BY time, claim, node_id, attempt
"""


@dataclass(frozen=True, slots=True)
class Abandonment:
    time: datetime
    reason: str
    comment: str


@dataclass(frozen=True, slots=True)
class SagaRecord:
    """A row of `saga`, without the DAG. `current_sec` is None if nobody is to run it."""

    saga_id: SagaId
    name: str
    state: str
    time_created: datetime
    creator: SecId
    current_sec: SecId | None
    adopt_generation: int
    claim: int
    abandonment: Abandonment | None

    @property
    def in_progress(self) -> bool:
        return self.state in ("running", "unwinding")


@dataclass(frozen=True, slots=True)
class EventRecord:
    """`data` is JSON; `creator` wrote the event, under `claim`."""

    node_id: NodeId
    kind: str
    data: str | None
    time: datetime
    creator: SecId
    claim: int


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """Who took hold of the saga's log, and why."""

    claim: int
    sec_id: SecId
    adopt_generation: int
    time: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A call that ended without an event. Without `error`, the process that made it died."""

    node_id: NodeId
    kind: str
    attempt: int
    claim: int
    time: datetime
    error: str | None


def list_in_progress(connection: Connection, *, limit: int) -> list[SagaRecord]:
    """Sagas that run or unwind, whoever owns them, the newest first."""
    return [_saga_record(*row) for row in connection.execute(LIST_IN_PROGRESS, (limit,))]


def find_saga(connection: Connection, saga_id: SagaId) -> SagaRecord | None:
    row = connection.execute(FIND, (saga_id,)).fetchone()
    return None if row is None else _saga_record(*row)


def read_dag(connection: Connection, saga_id: SagaId) -> str:
    """The JSON of a saga that is there."""
    row = connection.execute(READ_DAG, (saga_id,)).fetchone()
    assert row is not None, f"saga {saga_id} is gone, and sagas are never deleted"
    dag: str = row[0]
    return dag


def read_events(connection: Connection, saga_id: SagaId) -> list[EventRecord]:
    """The log, by the time of the events."""
    return [
        EventRecord(NodeId(node_id), kind, data, time, SecId(creator), claim)
        for node_id, kind, data, time, creator, claim in connection.execute(READ_EVENTS, (saga_id,))
    ]


def read_claims(connection: Connection, saga_id: SagaId) -> list[ClaimRecord]:
    """Every claim, the first one first."""
    return [
        ClaimRecord(claim, SecId(sec_id), adopt_generation, time, reason)
        for claim, sec_id, adopt_generation, time, reason in connection.execute(READ_CLAIMS, (saga_id,))
    ]


def read_attempts(connection: Connection, saga_id: SagaId) -> list[AttemptRecord]:
    """By time."""
    return [
        AttemptRecord(NodeId(node_id), kind, attempt, claim, time, error)
        for node_id, kind, attempt, claim, time, error in connection.execute(READ_ATTEMPTS, (saga_id,))
    ]


def _saga_record(
    saga_id: SagaId,
    name: str,
    state: str,
    time_created: datetime,
    creator: SecId,
    current_sec: SecId | None,
    adopt_generation: int,
    claim: int,
    abandon_time: datetime | None,
    abandon_reason: str,
    abandon_comment: str,
) -> SagaRecord:
    abandonment = None if abandon_time is None else Abandonment(abandon_time, abandon_reason, abandon_comment)
    return SagaRecord(saga_id, name, state, time_created, creator, current_sec, adopt_generation, claim, abandonment)
