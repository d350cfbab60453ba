"""Silos and their users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from nexus.ids import SiloId, SiloUserId
from nexus.rack import PasswordHash

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection


@dataclass(frozen=True, slots=True)
class SiloUser:
    id: SiloUserId
    name: str
    silo_id: SiloId
    silo_name: str


async def insert_silo(connection: Connection, name: str, *, now: datetime) -> SiloId:
    silo_id = SiloId(uuid4())
    await connection.execute(
        "INSERT INTO silo (id, name, discoverable, time_created) VALUES (%s, %s, true, %s)", (silo_id, name, now)
    )
    return silo_id


async def insert_user(
    connection: Connection, silo_id: SiloId, name: str, *, password_hash: PasswordHash, now: datetime
) -> SiloUserId:
    user_id = SiloUserId(uuid4())
    await connection.execute(
        "INSERT INTO silo_user (id, silo_id, external_id, time_created) VALUES (%s, %s, %s, %s)",
        (user_id, silo_id, name, now),
    )
    await connection.execute(
        "INSERT INTO silo_user_password_hash (silo_user_id, hash, time_created) VALUES (%s, %s, %s)",
        (user_id, password_hash, now),
    )
    return user_id


async def list_silo_names(connection: Connection) -> list[str]:
    cursor = await connection.execute("SELECT name FROM silo ORDER BY name")
    return [name for (name,) in await cursor.fetchall()]


async def find_password_hash(
    connection: Connection, *, silo_name: str, user_name: str
) -> tuple[SiloUserId, PasswordHash] | None:
    cursor = await connection.execute(
        """
        SELECT silo_user.id, silo_user_password_hash.hash
        FROM silo
        JOIN silo_user ON silo_user.silo_id = silo.id
        JOIN silo_user_password_hash ON silo_user_password_hash.silo_user_id = silo_user.id
        WHERE silo.name = %s AND silo_user.external_id = %s
        """,
        (silo_name, user_name),
    )
    row = await cursor.fetchone()
    return None if row is None else (SiloUserId(row[0]), PasswordHash(row[1]))
