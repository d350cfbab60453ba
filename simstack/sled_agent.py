"""The simulated sled agent: stops the Nexuses of the launcher whose zones the target blueprint says are expunged.

Upstream tells the sled agents what to run; this one asks, every POLL_S, the internal API of a Nexus that answers. It
acts only on zones that are not ready for cleanup. One that is ready for it has ended or, if somebody said so of a Nexus
that runs on (`--ready-for-cleanup`), is a simulated failure that this sled agent is not to mend: it is left alone. So
are the Nexuses of an expunged sled, which is taken to be gone, with its sled agent.

That such a zone has ended is found out and recorded by Nexus, which sees that nobody listens there any more. It looks
now and then; when one was stopped here it is told to look at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import trio

from dropshot.client import ClientError, request

if TYPE_CHECKING:
    from typing import TypeVar

    from dropshot.address import SocketAddr
    from simstack.nexus_fleet import NexusFleet
    from simstack.progress import Progress

    T = TypeVar("T")

POLL_S = 1.0
ANSWER_TIMEOUT_S = 2.0
"""A Nexus that is slow to answer keeps the others from being asked for this long."""

TARGET_PATH = "/deployment/blueprints/target"
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
    """What matters here of a blueprint as the internal API has it."""

    id: UUID
    sleds: dict[UUID, Sled]


class Target(msgspec.Struct, frozen=True):
    target_id: UUID


class NoAnswer(Exception):
    """A Nexus does not tell what the target is. It may be on its way up or down, or without its database."""


def zones_to_stop(blueprint: Blueprint) -> frozenset[UUID]:
    """Those that are to run no more, and of which nobody has said yet that they do not."""
    return frozenset(
        zone.id
        for sled in blueprint.sleds.values()
        for zone in sled.zones
        if zone.disposition.kind == "expunged" and not zone.disposition.ready_for_cleanup
    )


class SledAgent:
    def __init__(self, fleet: NexusFleet, progress: Progress) -> None:
        self._fleet = fleet
        self._progress = progress
        self._target: Blueprint | None = None

    async def run(self) -> None:
        """Never returns unless cancelled."""
        while True:
            await self.look()
            await trio.sleep(POLL_S)

    async def look(self) -> None:
        """Stop what is to be stopped now, as the first Nexus that answers has it; paused ones are not asked."""
        for nexus in self._fleet.nexuses:
            if not nexus.is_running or nexus.is_paused:
                continue
            address = nexus.planned.internal_address
            try:
                self._target = await self._read_target(address)
            except NoAnswer:
                continue
            if await self._stop(self._target):
                with suppress(ClientError):  # it was the one that was stopped, or looks later
                    await request(address, "POST", ACTIVATE_PATH, body=WATCHER, timeout_s=ANSWER_TIMEOUT_S)
            return

    async def _read_target(self, nexus: SocketAddr) -> Blueprint:
        """A blueprint never changes, so it is read once. Raises NoAnswer."""
        target = await _get(nexus, TARGET_PATH, Target)
        if self._target is not None and self._target.id == target.target_id:
            return self._target
        return await _get(nexus, f"/deployment/blueprints/all/{target.target_id}", Blueprint)

    async def _stop(self, target: Blueprint) -> bool:
        """Whether there was one to be stopped."""
        zones = zones_to_stop(target)
        stopped = False
        for nexus in [each for each in self._fleet.nexuses if each.id in zones]:
            status = await nexus.end_expunged()
            if status is not None:
                self._progress.warn(f"{nexus} was stopped, since its zone is expunged: {status}")
                stopped = True
        return stopped


async def _get(nexus: SocketAddr, path: str, type_: type[T]) -> T:
    try:
        response = await request(nexus, "GET", path, timeout_s=ANSWER_TIMEOUT_S)
    except ClientError as error:
        raise NoAnswer(str(error)) from error
    if response.status != 200:
        raise NoAnswer(f"{nexus}: GET {path} was answered with {response.status}")
    try:
        return msgspec.json.decode(response.body, type=type_)
    except msgspec.DecodeError as error:
        raise NoAnswer(f"{nexus}: GET {path}: {error}") from error
