"""The rack's sleds and their policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.sleds import POLICIES, SledPolicy, SledPolicyExpunged
from nexus.errors import ObjectNotFound
from nexus.ids import SledId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.rack import Sled


async def insert_sleds(connection: Connection, sleds: Sequence[Sled], *, now: datetime) -> None:
    """All of them in service."""
    await connection.cursor().executemany(
        """
        INSERT INTO sled (id, serial_number, part_number, revision, sled_policy, time_created, time_modified)
        VALUES (%s, %s, %s, %s, 'in_service', %s, %s)
        """,
        [(sled.id, sled.serial_number, sled.part_number, sled.revision, now, now) for sled in sleds],
    )


async def list_expunged_sleds(connection: Connection) -> list[SledId]:
    """A rack has a few dozen sleds at most."""
    cursor = await connection.execute("SELECT id FROM sled WHERE sled_policy = 'expunged' ORDER BY id")
    return [SledId(sled_id) for (sled_id,) in await cursor.fetchall()]


async def expunge_sled(connection: Connection, sled_id: SledId, *, now: datetime) -> SledPolicy:
    """Declare a sled gone for good; returns the policy it had. Raises ObjectNotFound.

    May be repeated. Only the policy changes: the blueprint follows when the next one is planned. Run again after a
    commit whose answer was lost, it knows its own write by the time in it.
    """
    cursor = await connection.execute(
        "SELECT sled_policy, time_modified FROM sled WHERE id = %s FOR UPDATE", (sled_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise ObjectNotFound.by_id("sled", sled_id)
    policy, time_modified = row
    previous = POLICIES[policy]
    if not isinstance(previous, SledPolicyExpunged):
        await connection.execute(
            "UPDATE sled SET sled_policy = 'expunged', time_modified = %s WHERE id = %s", (now, sled_id)
        )
    elif time_modified == now:
        return POLICIES["in_service"]  # the only one that a sled can have had: nothing sets `no_provision`
    return previous
