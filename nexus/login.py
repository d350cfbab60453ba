"""Logging in with a name and a password, and the sessions that come of it.

The cookie's value is random and kept nowhere: the database has its SHA-256. Passwords are verified by Argon2id in a
thread, one or two at a time, since each takes 64 MiB and a good part of a second of a core. A name that does not exist
takes as long as a wrong password; what cannot be a name is refused at once, and neither looked up nor remembered.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import trio

from nexus.db.logins import delete_session, find_session, insert_session, set_session_used
from nexus.db.silos import find_password_hash
from nexus.errors import InternalError, ServiceUnavailable, TooManyRequests, Unauthenticated
from nexus.rack import PasswordHash, is_silo_name, is_user_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.db.silos import SiloUser

MAX_PASSWORD_CHARACTERS = 512

CONCURRENT_VERIFICATIONS = 2
MAX_WAITING_VERIFICATIONS = 32
"""More than this queued for verification is refused: they would time out anyway."""

NOBODYS_HASH = PasswordHash(
    "$argon2id$v=19$m=65536,t=3,p=4$YWFhYWFhYWFhYWFhYWFhYQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Verified when there is no such user; costs what the hash of a user costs, and no password has it."""


class LoginThrottle:
    """Refuses further tries for a name after some failures in a row, for a while. Pure: told the time, in seconds."""

    FAILURES_ALLOWED = 10
    PERIOD_S = 60.0
    NAMES_REMEMBERED = 10_000

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def seconds_to_wait(self, name: tuple[str, str], *, now_s: float) -> float:
        count, last_s = self._failures.get(name, (0, 0.0))
        if count < self.FAILURES_ALLOWED:
            return 0.0
        return max(0.0, last_s + self.PERIOD_S - now_s)

    def failed(self, name: tuple[str, str], *, now_s: float) -> None:
        count, last_s = self._failures.pop(name, (0, now_s))
        self._failures[name] = (1 if last_s + self.PERIOD_S <= now_s else count + 1, now_s)
        while len(self._failures) > self.NAMES_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, name: tuple[str, str]) -> None:
        self._failures.pop(name, None)


class Logins:
    """Made once for a Nexus. `idle_timeout` and `absolute_timeout` end a session, whichever comes first."""

    def __init__(
        self,
        pool: Pool,
        *,
        idle_timeout: timedelta,
        absolute_timeout: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._idle_timeout = idle_timeout
        self.absolute_timeout = absolute_timeout
        self._now = now
        self._throttle = LoginThrottle()
        self._verifications = trio.CapacityLimiter(CONCURRENT_VERIFICATIONS)

    async def log_in(self, *, silo_name: str, user_name: str, password: str) -> str:
        """Start a session; returns its token, the cookie's value.

        Raises Unauthenticated (unknown silo, unknown user, wrong password: all the same), TooManyRequests after too
        many failures for this name, ServiceUnavailable, DatabaseUnavailable.
        """
        if not (is_silo_name(silo_name) and is_user_name(user_name)):
            raise Unauthenticated
        name = (silo_name, user_name)
        wait_s = self._throttle.seconds_to_wait(name, now_s=trio.current_time())
        if wait_s > 0:
            raise TooManyRequests(f"too many failed logins for this user; try again in {wait_s:.0f} s")

        found = await self._pool.transaction(partial(find_password_hash, silo_name=silo_name, user_name=user_name))
        user_id, password_hash = found or (None, NOBODYS_HASH)
        is_right = len(password) <= MAX_PASSWORD_CHARACTERS and await self._verify(password_hash, password)
        if user_id is None or not is_right:
            self._throttle.failed(name, now_s=trio.current_time())
            raise Unauthenticated
        self._throttle.succeeded(name)

        token = secrets.token_hex(32)
        now = self._now()
        await self._pool.transaction(lambda connection: insert_session(connection, _hash(token), user_id, now=now))
        return token

    async def user(self, token: str | None) -> SiloUser:
        """Whose session it is; the session counts as used now. Raises Unauthenticated, DatabaseUnavailable."""
        if not token:
            raise Unauthenticated
        token_hash = _hash(token)
        now = self._now()

        async def use_session(connection: Connection) -> SiloUser | None:
            session = await find_session(connection, token_hash)
            if session is None:
                return None
            if now >= min(session.time_created + self.absolute_timeout, session.time_last_used + self._idle_timeout):
                await delete_session(connection, token_hash)
                return None
            await set_session_used(connection, token_hash, now=now)
            return session.user

        user = await self._pool.transaction(use_session)
        if user is None:
            raise Unauthenticated
        return user

    async def log_out(self, token: str | None) -> None:
        """End the session, if there is one. Raises DatabaseUnavailable."""
        if token:
            await self._pool.transaction(lambda connection: delete_session(connection, _hash(token)))

    async def _verify(self, password_hash: PasswordHash, password: str) -> bool:
        if self._verifications.statistics().tasks_waiting >= MAX_WAITING_VERIFICATIONS:
            raise ServiceUnavailable("too many logins at once; try again")
        return await trio.to_thread.run_sync(_verify_in_thread, password_hash, password, limiter=self._verifications)


def _verify_in_thread(password_hash: PasswordHash, password: str) -> bool:
    # Imported at the first login: 20 ms that a Nexus which nobody logs in to need not spend.
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

    try:
        return PasswordHasher().verify(password_hash, password)
    except VerifyMismatchError:
        return False
    except (VerificationError, InvalidHashError) as exc:
        raise InternalError(f"a stored password hash cannot be verified: {exc}") from exc


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
