"""Which process has a SEC id: the one that entered it last. Those before it are superseded for good.

And whether the Nexus of that id is expunged. That is for good, too: entering again does not take it back. An id that
nobody has entered has no row to say so; its Nexus cannot be put in service any more, and so comes to no sagas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.ids import BlueprintId
    from nexus.saga.ids import SecId

ENTER = """
INSERT INTO sec_process (sec_id, incarnation, pid, host, time_entered) VALUES (%s, 1, %s, %s, %s)
ON CONFLICT (sec_id) DO UPDATE
SET incarnation = sec_process.incarnation + 1, pid = excluded.pid, host = excluded.host,
    time_entered = excluded.time_entered
RETURNING incarnation
"""

READ = "SELECT incarnation, pid, host, time_entered FROM sec_process WHERE sec_id = %s"

LOCK = "SELECT incarnation, expunged_blueprint_id FROM sec_process WHERE sec_id = %s FOR SHARE"

MARK_EXPUNGED = """
UPDATE sec_process SET expunged_blueprint_id = %s WHERE sec_id = ANY(%s) AND expunged_blueprint_id IS NULL
"""


@dataclass(frozen=True, slots=True)
class SecProcess:
    sec_id: SecId
    incarnation: int
    pid: int
    host: str
    time_entered: datetime


@dataclass(frozen=True, slots=True)
class LockedSec:
    """Of the newest process, and the first target blueprint in which its Nexus is expunged, if there is one."""

    incarnation: int
    expunged_blueprint_id: BlueprintId | None


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


async def lock_sec(connection: Connection, sec_id: SecId) -> LockedSec:
    """Until the end of the transaction no other process enters, and nobody expunges the Nexus."""
    row = await (await connection.execute(LOCK, (sec_id,))).fetchone()
    assert row is not None, f"no process has entered SEC {sec_id}, and what has entered is never deleted"
    return LockedSec(*row)


async def mark_expunged(connection: Connection, sec_ids: Sequence[SecId], blueprint_id: BlueprintId) -> None:
    """Waits for transactions that have locked one of them. Those that are marked already stay as they are."""
    await connection.execute(MARK_EXPUNGED, (blueprint_id, sec_ids))
