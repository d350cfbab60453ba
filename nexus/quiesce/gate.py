"""What this process knows of its own quiescing: who asks, who tells, how far it has come. Does no I/O.

    SEC, before each new saga ─────────> admit
    blueprint_executor, saga_recovery ─> tell what they saw and did
    POST /quiesce ─────────────────────> request
    sequence.py ───────────────────────> waits until it is to begin, then advances the state

Only `sequence.py` advances the state beyond `draining_sagas`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from nexus.api.quiesce_types import (
    DrainingSagas,
    DrainingSagasDetails,
    NotQuiescing,
    QuiesceState,
    QuiesceStatus,
    Undetermined,
)
from nexus.deployment.nexus_states import goal_state
from nexus.errors import Conflict
from nexus.quiesce.sagas import SagaQuiesce
from nexus.saga.errors import NewSagasRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from nexus.api.quiesce_types import HeldDbClaimInfo
    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import NexusId
    from nexus.saga.status import PendingSaga


class QuiesceGate:
    def __init__(self, nexus_id: NexusId, *, now: Callable[[], datetime]) -> None:
        self._nexus_id = nexus_id
        self._now = now
        self.sagas = SagaQuiesce()
        """Those who reassign and recover replace it by what it becomes."""

        self.state: QuiesceState = Undetermined()
        self.blueprint: Blueprint | None = None
        """The target that was seen last."""

        self._known = trio.Event()
        self._begun = trio.Event()

    def admit(self) -> None:
        """Raises NewSagasRefused."""
        if self.sagas.new_sagas != "allowed":
            raise NewSagasRefused(self.sagas.reason)

    def see(self, blueprint: Blueprint) -> None:
        """This one is the target, executed or not."""
        self.blueprint = blueprint
        self.sagas = self.sagas.told(blueprint, self._nexus_id)
        if self.sagas.new_sagas != "disallowed_unknown":
            self._known.set()
        if goal_state(blueprint, self._nexus_id) == "quiesced":
            self._begin()
        elif isinstance(self.state, Undetermined) and self._known.is_set():
            self.state = NotQuiescing()

    @property
    def is_expunged(self) -> bool:
        """Whether it has seen that its zone is; not of one that was quiescing by then."""
        return self.status([], []).is_expunged

    async def wait_known(self) -> None:
        """Return once it is known whether new sagas are allowed."""
        await self._known.wait()

    async def waits_for(self) -> str | None:
        """None once it is."""
        return None if self._known.is_set() else "the target blueprint to be read"

    def request(self) -> None:
        """Begin to quiesce. There is no way back. May be repeated. Raises Conflict if it is expunged."""
        if self.is_expunged:
            raise Conflict(f"{self.sagas.reason}: it already makes no new sagas, and never becomes quiesced")
        self.sagas = self.sagas.requested()
        self._known.set()
        self._begin()

    async def wait_begun(self) -> datetime:
        """Returns since when it is quiescing."""
        await self._begun.wait()
        assert isinstance(self.state, DrainingSagas), "only the sequence goes on from there"
        return self.state.quiesce_details.time_requested

    def status(self, pending: Iterable[PendingSaga], claims: list[HeldDbClaimInfo]) -> QuiesceStatus:
        return QuiesceStatus(self.state, self.sagas.status(pending), claims)

    def _begin(self) -> None:
        if isinstance(self.state, Undetermined | NotQuiescing):
            self.state = DrainingSagas(DrainingSagasDetails(self._now()))
            self._begun.set()
