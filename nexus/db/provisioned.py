"""What `provision` sagas make: resources that are no more than rows, behind a check of the fencing token.

For each saga the highest claim that ever came is kept. A call with a lower one comes from a process that was
superseded, and is refused; it changes nothing. All of this may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexus.db.connection import Connection
    from nexus.saga import SagaId


class StaleClaim(Exception):
    """A call with a claim below one that came before."""

    def __init__(self, saga_id: SagaId, claim: int) -> None:
        super().__init__(f"claim {claim} of saga {saga_id} is stale: a call with a higher one came before")


async def make_resource(connection: Connection, saga_id: SagaId, name: str, *, claim: int) -> None:
    """Raises StaleClaim."""
    await _check_claim(connection, saga_id, claim)
    await connection.execute(
        "INSERT INTO provisioned_resource (saga_id, name, claim) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (saga_id, name, claim),
    )


async def remove_resource(connection: Connection, saga_id: SagaId, name: str, *, claim: int) -> None:
    """Raises StaleClaim."""
    await _check_claim(connection, saga_id, claim)
    await connection.execute("DELETE FROM provisioned_resource WHERE saga_id = %s AND name = %s", (saga_id, name))


async def list_resources(connection: Connection, saga_id: SagaId) -> list[str]:
    """Their names, sorted."""
    cursor = await connection.execute(
        "SELECT name FROM provisioned_resource WHERE saga_id = %s ORDER BY name", (saga_id,)
    )
    return [row[0] for row in await cursor.fetchall()]


async def _check_claim(connection: Connection, saga_id: SagaId, claim: int) -> None:
    """Locks the saga's row, so of two calls the second sees what the first brought."""
    cursor = await connection.execute(
        """
        INSERT INTO provision_claim (saga_id, claim) VALUES (%s, %s)
        ON CONFLICT (saga_id) DO UPDATE SET claim = EXCLUDED.claim WHERE provision_claim.claim <= EXCLUDED.claim
        """,
        (saga_id, claim),
    )
    if not cursor.rowcount:
        raise StaleClaim(saga_id, claim)
