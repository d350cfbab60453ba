"""The simulated sled agent: stops the Nexuses of the launcher whose zones the target blueprint says are expunged.

Upstream's Nexus tells the sled agents what to run when it executes a target; this one reads the target from the
database every POLL_S, and obeys it if it is enabled. So it needs no Nexus, and fills no log of one.

It stops only zones that are not ready for cleanup. One that is ready for it has ended or, if somebody said so of a
Nexus that runs on (`--ready-for-cleanup`), is a simulated failure that is not to be mended here: it is left alone. So
are the Nexuses of an expunged sled, which is taken to be gone, with its sled agent.

Of every expunged zone, by a target that is enabled or not, it makes known that its Nexus, once that has ended, cannot
be started again.

That such a zone has ended is found out and recorded by Nexus, which sees that nobody listens there any more. It looks
now and then; when one was stopped here it is told to look at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import trio

from dropshot.client import ClientError, request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dropshot.address import SocketAddr
    from simstack.nexus_fleet import NexusFleet
    from simstack.progress import Progress

POLL_S = 1.0
ANSWER_TIMEOUT_S = 2.0
"""Of the database, and of a Nexus that is asked to look."""

READ_TARGET = """
SELECT contents::TEXT, enabled
FROM (SELECT blueprint_id, enabled FROM bp_target ORDER BY version DESC LIMIT 1) AS target
    JOIN blueprint ON blueprint.id = blueprint_id
"""
ACTIVATE_PATH = "/bgtasks/activate"
WATCHER = msgspec.json.encode({"bgtask_names": ["expunged_zone_watcher"]})


class Disposition(msgspec.Struct, frozen=True):
    """`ready_for_cleanup`: an expunged zone is known to run no more."""

    kind: str
    ready_for_cleanup: bool = False


class Zone(msgspec.Struct, frozen=True):
    id: UUID
    disposition: Disposition


class Sled(msgspec.Struct, frozen=True):
    zones: list[Zone]


class Blueprint(msgspec.Struct, frozen=True):
    """What matters here of a blueprint, as the database and the internal API have it."""

    id: UUID
    sleds: dict[UUID, Sled]

    def expunged(self) -> list[Zone]:
        zones = (zone for sled in self.sleds.values() for zone in sled.zones)
        return [zone for zone in zones if zone.disposition.kind == "expunged"]


@dataclass(frozen=True, slots=True)
class Target:
    """`enabled`: it is to be obeyed."""

    blueprint: Blueprint
    enabled: bool

    def to_stop(self) -> frozenset[UUID]:
        """Zones that are to run no more, and of which nobody has said yet that they do not."""
        if not self.enabled:
            return frozenset()
        return frozenset(zone.id for zone in self.blueprint.expunged() if not zone.disposition.ready_for_cleanup)

    def gone(self) -> frozenset[UUID]:
        """Zones that never come back: no later target can have them in service again."""
        return frozenset(zone.id for zone in self.blueprint.expunged())


class SledAgent:
    def __init__(self, fleet: NexusFleet, progress: Progress, *, database_url: str) -> None:
        self._fleet = fleet
        self._progress = progress
        self._database_url = database_url

    async def run(self) -> None:
        """Never returns unless cancelled."""
        while True:
            await trio.sleep(POLL_S)
            target = await trio.to_thread.run_sync(read_target, self._database_url, abandon_on_cancel=True)
            if target is None:
                continue
            stopped = await self._stop(target.to_stop())
            self._fleet.never_come_back(target.gone())
            if stopped:
                await have_it_noticed(self._fleet.awake())

    async def _stop(self, zones: frozenset[UUID]) -> bool:
        """Whether there was one to be stopped."""
        stopped = False
        for nexus in [each for each in self._fleet.nexuses if each.id in zones]:
            status = await nexus.end_expunged()
            if status is not None:
                self._progress.warn(f"{nexus} was stopped, since its zone is expunged: {status}")
                stopped = True
        return stopped


async def have_it_noticed(nexuses: Iterable[SocketAddr]) -> None:
    """Have the first of `nexuses` (their internal addresses) look that can; one that quiesces or waits for its turn
    cannot. If none can, one that can looks later.
    """
    for nexus in nexuses:
        try:
            answer = await request(nexus, "POST", ACTIVATE_PATH, body=WATCHER, timeout_s=ANSWER_TIMEOUT_S)
        except ClientError:
            continue
        if answer.status < 300:
            return


def read_target(database_url: str) -> Target | None:
    """None while there is none, or the database does not tell."""
    import psycopg

    patience = f"-c statement_timeout={ANSWER_TIMEOUT_S:g}s"
    try:
        with psycopg.connect(database_url, connect_timeout=int(ANSWER_TIMEOUT_S), options=patience) as connection:
            row = connection.execute(READ_TARGET).fetchone()
            return None if row is None else Target(msgspec.json.decode(row[0], type=Blueprint), enabled=row[1])
    except (psycopg.Error, msgspec.DecodeError):
        return None
