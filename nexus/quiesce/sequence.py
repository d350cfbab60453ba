"""Quiescing: from the decision to the record that this Nexus is quiesced.

    draining_sagas ──> draining_db ──> recording_quiesce ──> quiesced

Sagas are drained when this Nexus is drained as of the target blueprint, and every Nexus of its generation is too: until
then one of them could still be expunged, and leave sagas to this one. After that nothing here needs the database: the
background tasks are stopped, and no connection is lent any more; the record is written on one of its own. There is no
way back at any point, and no end but that of the process.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import trio

from nexus.api.quiesce_types import (
    DrainingDb,
    DrainingDbDetails,
    Quiesced,
    QuiescedDetails,
    RecordingQuiesce,
    RecordingQuiesceDetails,
)
from nexus.api.types import Duration
from nexus.db.errors import DatabaseUnavailable
from nexus.db.nexus_states import record_drained, record_quiesced
from nexus.deployment.nexus_states import goal_state
from nexus.saga.errors import SecSuperseded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dropshot.logging import Log
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.ids import NexusId
    from nexus.quiesce.gate import QuiesceGate
    from nexus.saga.sec import Sec

PAUSE_S = 0.25
"""Between two looks at what is waited for."""

RETIRED = "this Nexus is quiescing or quiesced: it does not use the database any more"
STOPPED = "this Nexus is quiescing or quiesced: its background tasks do not run any more"


class QuiesceSequence:
    """`stop_tasks` ends the background tasks: it is told why, and returns when none of them runs any more. `pool` is
    everybody's, `last_word` another one on the same database, for the record and for who makes it. `guard` raises
    SecSuperseded in a transaction if that is not this process any more.
    """

    def __init__(
        self,
        nexus_id: NexusId,
        *,
        gate: QuiesceGate,
        sec: Sec,
        stop_tasks: Callable[[str], Awaitable[None]],
        pool: Pool,
        last_word: Pool,
        guard: Callable[[Connection], Awaitable[None]],
        log: Log,
    ) -> None:
        self._nexus_id = nexus_id
        self._gate = gate
        self._sec = sec
        self._stop_tasks = stop_tasks
        self._pool = pool
        self._last_word = last_word
        self._guard = guard
        self._log = log

    async def run(self) -> None:
        """Returns when this Nexus is quiesced."""
        requested = await self._gate.wait_begun()
        began = trio.current_time()
        self._log.info("quiescing", reason=self._gate.sagas.reason)
        await self._wait_until(self._sagas_are_drained)
        drained = trio.current_time()
        sagas = Duration.from_seconds(drained - began)
        self._gate.state = DrainingDb(DrainingDbDetails(requested, sagas))
        await self._stop_tasks(STOPPED)
        await self._pool.retire(RETIRED)
        unused = trio.current_time()
        db = Duration.from_seconds(unused - drained)
        self._gate.state = RecordingQuiesce(RecordingQuiesceDetails(requested, sagas, db))
        await self._wait_until(self._is_recorded)
        recorded = trio.current_time()
        await self._last_word.retire(RETIRED)
        recording = Duration.from_seconds(recorded - unused)
        total = Duration.from_seconds(recorded - began)
        self._gate.state = Quiesced(QuiescedDetails(requested, datetime.now(UTC), sagas, db, recording, total))
        self._log.info("quiesced")

    async def _sagas_are_drained(self) -> str | None:
        gate = self._gate
        gate.sagas = gate.sagas.settled(idle=self._sec.idle)
        blueprint = gate.blueprint
        if blueprint is None:
            return "the target blueprint to be read"
        if goal_state(blueprint, self._nexus_id) is None:
            return f"a zone of its own in service: blueprint {blueprint.id} has none"
        if unfinished := self._unfinished():
            return unfinished
        if gate.sagas.drained_blueprint_id != blueprint.id:
            return f"blueprint {blueprint.id} to be executed, and sagas to be recovered"
        left = await self._pool.transaction(partial(record_drained, nexus_id=self._nexus_id, blueprint=blueprint))
        if left:
            return f"Nexuses of its generation to be drained: {', '.join(left)}"
        return self._unfinished()  # one that was repaired by hand may have been recovered meanwhile

    def _unfinished(self) -> str | None:
        return None if self._sec.idle else "sagas to end"

    async def _is_recorded(self) -> str | None:
        async def record(connection: Connection) -> bool:
            await self._guard(connection)
            return await record_quiesced(connection, nexus_id=self._nexus_id)

        return None if await self._last_word.transaction(record) else "its record in db_metadata_nexus"

    async def _wait_until(self, check: Callable[[], Awaitable[str | None]]) -> None:
        """Until `check` returns None. It returns what there is to wait for, which is logged when it changes."""
        said: str | None = None
        while True:
            try:
                reason = await check()
            except (DatabaseUnavailable, psycopg.OperationalError, SecSuperseded) as error:
                reason = str(error)
            if reason is None:
                return
            if reason != said:
                self._log.info("quiescing: waiting", reason=reason)
                said = reason
            await trio.sleep(PAUSE_S)
