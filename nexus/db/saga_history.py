"""Who held a saga's log, when and why, as a Nexus reads it for its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.saga_reads import READ_CLAIMS, ClaimRecord
from nexus.saga.ids import SecId

if TYPE_CHECKING:
    from nexus.db.connection import Connection
    from nexus.saga.ids import SagaId


async def list_claims(connection: Connection, saga_id: SagaId) -> list[ClaimRecord]:
    """Every claim, the first one first."""
    cursor = await connection.execute(READ_CLAIMS, (saga_id,))
    return [
        ClaimRecord(claim, SecId(sec_id), adopt_generation, time, reason)
        for claim, sec_id, adopt_generation, time, reason in await cursor.fetchall()
    ]
