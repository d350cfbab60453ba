"""Which process has a SEC id: the one that entered it last. Those before it are superseded for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.saga.ids import SecId

ENTER = """
INSERT INTO sec_process (sec_id, incarnation, pid, host, time_entered) VALUES (%s, 1, %s, %s, %s)
ON CONFLICT (sec_id) DO UPDATE
SET incarnation = sec_process.incarnation + 1, pid = excluded.pid, host = excluded.host,
    time_entered = excluded.time_entered
RETURNING incarnation
"""

READ = "SELECT incarnation, pid, host, time_entered FROM sec_process WHERE sec_id = %s"

LOCK = "SELECT incarnation FROM sec_process WHERE sec_id = %s FOR SHARE"


@dataclass(frozen=True, slots=True)
class SecProcess:
    sec_id: SecId
    incarnation: int
    pid: int
    host: str
    time_entered: datetime


async def enter_sec(connection: Connection, sec_id: SecId, *, pid: int, host: str, now: datetime) -> SecProcess:
    """Take the id for this process. Run again after a commit whose answer was lost, it supersedes only itself."""
    cursor = await connection.execute(ENTER, (sec_id, pid, host, now))
    row = await cursor.fetchone()
    assert row is not None, "it returns the row that it wrote"
    return SecProcess(sec_id, row[0], pid, host, now)


async def read_sec_process(connection: Connection, sec_id: SecId) -> SecProcess:
    """The newest process of an id that was entered."""
    row = await (await connection.execute(READ, (sec_id,))).fetchone()
    assert row is not None, f"no process has entered SEC {sec_id}, and what has entered is never deleted"
    return SecProcess(sec_id, *row)


async def lock_incarnation(connection: Connection, sec_id: SecId) -> int:
    """That of the newest process; until the end of the transaction no other enters."""
    row = await (await connection.execute(LOCK, (sec_id,))).fetchone()
    assert row is not None, f"no process has entered SEC {sec_id}, and what has entered is never deleted"
    return int(row[0])
