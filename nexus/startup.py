"""How far a Nexus has come in starting up: what its APIs may use already, and what it waits for.

    nothing ── database with the right schema ── rack initialized ── DNS answers ── services running

The internal API serves from the first moment. What a request needs and is not there yet makes it a 503 that says what
this Nexus is waiting for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from nexus.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dropshot.logging import Log
    from nexus.background.driver import Driver
    from nexus.db.pool import Pool
    from nexus.login import Logins
    from nexus.notify import Notifier
    from nexus.quiesce.gate import QuiesceGate
    from nexus.saga import Sec
    from nexus.sagas.catalog import SagaCatalog

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
REPEAT_S = 30.0
"""A wait that goes on is logged again after so long."""


@dataclass(frozen=True, slots=True)
class Services:
    """What runs in a Nexus that is up."""

    sec: Sec
    driver: Driver
    catalog: SagaCatalog
    logins: Logins
    quiesce: QuiesceGate


@dataclass(frozen=True, slots=True)
class Standby:
    """A wait for this Nexus' turn, with its reason: all else is there, and others decide how long that takes."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class Startup:
    """Written by `nexus.server` as it goes, read by the APIs."""

    def __init__(self, *, log: Log, notifier: Notifier) -> None:
        self._log = log
        self._notifier = notifier
        self._waiting_for: dict[str, str | Standby] = {}
        self._database: Pool | None = None
        self._has_database = trio.Event()
        self._services: Services | None = None
        self._look_again = trio.Event()

    @property
    def database(self) -> Pool:
        """The database, once its schema has been found to be the right one. Raises ServiceUnavailable."""
        if self._database is None:
            raise self._not_yet()
        return self._database

    @property
    def services(self) -> Services:
        """Raises ServiceUnavailable until everything runs."""
        if self._services is None:
            raise self._not_yet()
        return self._services

    async def wait_for_database(self, *, timeout_s: float) -> Pool:
        """Like `database`, but gives it some time to come up."""
        with trio.move_on_after(timeout_s):
            await self._has_database.wait()
        return self.database

    def has_database(self, pool: Pool) -> None:
        self._database = pool
        self._has_database.set()

    def is_up(self, services: Services) -> None:
        self._services = services

    def look_again(self) -> None:
        """Something may have changed: whoever waits looks at once."""
        self._look_again.set()
        self._look_again = trio.Event()

    async def wait_until(self, what: str, check: Callable[[], Awaitable[str | Standby | None]]) -> None:
        """Return once `check` returns None. Until then it returns what there is to wait for, which is logged, told to
        the parent process, and the reason that requests are refused with. `what` tells waits apart.
        """
        pause_s = FIRST_PAUSE_S
        said_at = -REPEAT_S
        try:
            while (reason := await check()) is not None:
                now = trio.current_time()
                if reason != self._waiting_for.get(what) or now >= said_at + REPEAT_S:
                    said_at = now
                    self._waiting_for[what] = reason
                    self._log.info("waiting", reason=str(reason))
                    self._tell()
                with trio.move_on_after(pause_s):
                    await self._look_again.wait()
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            if self._waiting_for.pop(what, None) is not None:
                self._tell()

    def _tell(self) -> None:
        text = f"waiting for {self._reasons()}" if self._waiting_for else "starting"
        standby = any(isinstance(reason, Standby) for reason in self._waiting_for.values())
        self._notifier.waits(text, standby=standby)

    def _reasons(self) -> str:
        return "; and for ".join(map(str, self._waiting_for.values()))

    def _not_yet(self) -> ServiceUnavailable:
        waiting = f": waiting for {self._reasons()}" if self._waiting_for else ""
        return ServiceUnavailable(f"this Nexus is starting up{waiting}; try again")
