"""Console sessions: removing those that have run out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection


async def delete_expired_sessions(
    connection: Connection, *, created_before: datetime, last_used_before: datetime, limit: int
) -> int:
    """Delete sessions that are too old or were idle for too long, the oldest first; returns how many.

    A second run after a lost commit deletes what is left, so this may be retried.
    """
    cursor = await connection.execute(
        """
        DELETE FROM console_session WHERE id IN (
            SELECT id FROM console_session
            WHERE time_created < %s OR time_last_used < %s
            ORDER BY time_created
            LIMIT %s
        )
        """,
        (created_before, last_used_before, limit),
    )
    return cursor.rowcount
