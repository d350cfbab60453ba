"""This process' hold on the id of its SEC: the newest process of an id has it, and every older one ends itself.

Each claim of a saga shuts out the one before, but two live processes of one id would go on recovering what the other
holds, and neither would know why. So a Nexus *enters* its SEC id before it recovers anything, which supersedes whoever
entered before. From then on

- the database refuses an older process every claim, every new saga, every adoption, and the record that its id is
  quiesced, in the transaction that makes it (`Incarnation.guard`, `guard_creation`): the newer one loses nothing to it,
  and finds all that it had when it first looks. Sagas that came to this id later would wait for the newer one's next
  recovery, and that one may hold itself drained meanwhile;
- the older one notices within `CHECK_PERIOD_S`, at once when it is refused something or loses a saga, and ends.

An older process that is dead notices nothing, so a restart is no event.

An expunged Nexus is refused new sagas, too (`guard_creation`), whatever this process knows: from the commit on that
makes a blueprint the target in which it is expunged. So whoever takes over its sagas need not come back for more. All
else it may go on with. It finishes the sagas that it has until they are taken from it, which is settled saga by saga,
and after a repair by hand it needs a claim for that.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import psycopg
import trio

from nexus.db.errors import DatabaseUnavailable, PoolRetired
from nexus.db.sec_processes import LockedSec, SecProcess, enter_sec, lock_sec, read_sec_process
from nexus.deployment.nexus_states import expunged_reason
from nexus.ids import NexusId
from nexus.saga.errors import NewSagasRefused, SecSuperseded

if TYPE_CHECKING:
    from collections.abc import Callable

    from dropshot.logging import Log
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.saga.ids import SecId

CHECK_PERIOD_S = 10.0
"""How long a process whose sagas all wait may go on beside a newer one of its id."""


PAUSE_S = 1.0
"""After a look that the database did not answer."""


class Superseded(Exception):
    """A newer process has this Nexus' id. One line for the user."""

    def __init__(self, mine: SecProcess, newer: SecProcess) -> None:
        super().__init__(
            f"another process with the id of this Nexus, {mine.sec_id}, was started: pid {newer.pid} on host"
            f" {newer.host}, at {newer.time_entered.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}. It runs the sagas of this id"
            f" now, so this one, pid {mine.pid}, ends. If both are to run, give one of them an id of its own"
            " (deployment.id); if this one is to run, stop the other and start this one again"
        )


class Incarnation:
    """`pool` is to be used to the last: one that is retired when there is nothing more to be said of this process."""

    def __init__(self, pool: Pool, mine: SecProcess, *, log: Log) -> None:
        self._pool = pool
        self._mine = mine
        self._log = log
        self._doubted = trio.Event()

    @classmethod
    async def enter(cls, pool: Pool, sec_id: SecId, *, log: Log) -> Incarnation:
        """Supersede every other process of the id. Raises DatabaseUnavailable or psycopg.Error, and may be repeated."""
        enter = partial(enter_sec, sec_id=sec_id, pid=os.getpid(), host=socket.gethostname(), now=datetime.now(UTC))
        return cls(pool, await pool.transaction(enter), log=log)

    def doubt(self) -> None:
        """Something happened that this process did not expect, and a newer one may have caused: have `watch` look at
        once.
        """
        self._doubted.set()

    async def guard(self, connection: Connection) -> None:
        """In a transaction that is for the newest process alone. Raises SecSuperseded."""
        await self._lock(connection)

    async def guard_creation(self, connection: Connection) -> None:
        """In a transaction that creates sagas. Raises SecSuperseded, or NewSagasRefused if this Nexus is expunged."""
        expunged_in = (await self._lock(connection)).expunged_blueprint_id
        if expunged_in is not None:
            self.doubt()
            raise NewSagasRefused(expunged_reason(NexusId(self._mine.sec_id), expunged_in))

    async def _lock(self, connection: Connection) -> LockedSec:
        locked = await lock_sec(connection, self._mine.sec_id)
        if locked.incarnation != self._mine.incarnation:
            self.doubt()
            raise SecSuperseded(self._mine.sec_id)
        return locked

    async def watch(self, *, dispelled: Callable[[], None]) -> NoReturn:
        """Look every `CHECK_PERIOD_S` and when in doubt. Calls `dispelled` after a doubt if no process is newer.

        Raises Superseded. While the database is away nothing can be told, and nothing be written either. Once the pool
        is retired this looks no more: nobody enters the id of a Nexus that is quiesced.
        """
        while True:
            with trio.move_on_after(CHECK_PERIOD_S):
                await self._doubted.wait()
            doubted, self._doubted = self._doubted.is_set(), trio.Event()
            try:
                newest = await self._pool.transaction(partial(read_sec_process, sec_id=self._mine.sec_id))
            except PoolRetired:
                await trio.sleep_forever()
            except (DatabaseUnavailable, psycopg.OperationalError) as error:
                self._log.warning("whether another process has this id could not be checked", error=str(error))
                if doubted:
                    self.doubt()
                await trio.sleep(PAUSE_S)
                continue
            if newest.incarnation != self._mine.incarnation:
                raise Superseded(self._mine, newest)
            if doubted:
                dispelled()
