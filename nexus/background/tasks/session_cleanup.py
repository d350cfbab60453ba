"""Background task `session_cleanup`: deletes console sessions that have run out.

Such a session opens nothing any more; this only keeps the table small. Details: `{"deleted": N, "limit": N}`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nexus.db.sessions import delete_expired_sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from nexus.db.pool import Pool


class SessionCleanup:
    """What is beyond `limit` is left for the next activation, so that no transaction gets long."""

    def __init__(
        self,
        *,
        pool: Pool,
        idle_timeout: timedelta,
        absolute_timeout: timedelta,
        limit: int,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._idle_timeout = idle_timeout
        self._absolute_timeout = absolute_timeout
        self._limit = limit
        self._now = now

    async def activate(self) -> dict[str, int]:
        now = self._now()
        deleted = await self._pool.transaction(
            partial(
                delete_expired_sessions,
                created_before=now - self._absolute_timeout,
                last_used_before=now - self._idle_timeout,
                limit=self._limit,
            )
        )
        return {"deleted": deleted, "limit": self._limit}
