"""Console sessions: making, finding and ending one. Removing those that have run out is `nexus.db.sessions`.

A session is found by the hash of its token, so that a stolen table opens none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from nexus.db.silos import SiloUser
from nexus.ids import SiloId, SiloUserId

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection


@dataclass(frozen=True, slots=True)
class Session:
    user: SiloUser
    time_created: datetime
    time_last_used: datetime


async def insert_session(connection: Connection, token_hash: bytes, user_id: SiloUserId, *, now: datetime) -> None:
    """Repeating it is harmless: the first try may have committed before the connection was lost."""
    await connection.execute(
        """
        INSERT INTO console_session (id, token_hash, silo_user_id, time_created, time_last_used)
        VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (token_hash) DO NOTHING
        """,
        (uuid4(), token_hash, user_id, now, now),
    )


async def find_session(connection: Connection, token_hash: bytes) -> Session | None:
    cursor = await connection.execute(
        """
        SELECT silo_user.id, silo_user.external_id, silo.id, silo.name,
               console_session.time_created, console_session.time_last_used
        FROM console_session
        JOIN silo_user ON silo_user.id = console_session.silo_user_id
        JOIN silo ON silo.id = silo_user.silo_id
        WHERE console_session.token_hash = %s
        """,
        (token_hash,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    user_id, user_name, silo_id, silo_name, created, last_used = row
    return Session(SiloUser(SiloUserId(user_id), user_name, SiloId(silo_id), silo_name), created, last_used)


async def set_session_used(connection: Connection, token_hash: bytes, *, now: datetime) -> None:
    await connection.execute(
        "UPDATE console_session SET time_last_used = %s WHERE token_hash = %s AND time_last_used < %s",
        (now, token_hash, now),
    )


async def delete_session(connection: Connection, token_hash: bytes) -> None:
    await connection.execute("DELETE FROM console_session WHERE token_hash = %s", (token_hash,))
