"""Whether a Nexus may make sagas, and whether more of them can come to it. Pure.

A Nexus that quiesces makes no new sagas, but it finishes those that it has, and those that it takes over from expunged
Nexuses of its generation. Taking over is two things, one after the other: *reassignment*, by the execution of a
blueprint, and *recovery*. So a Nexus is drained as of a blueprint only if

    it makes no new sagas ── none is pending ── a recovery has been complete ── no reassignment is under way ──
    recovery has caught up with the last reassignment that may have moved something

Reassignments that may have moved something are counted by `reassignment_generation`. A pass of recovery notes, when it
starts, how far they were; when it succeeds it has caught up to there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nexus.api.quiesce_types import PendingRecovery, PendingSagaInfo, SagaQuiesceStatus
from nexus.deployment.nexus_states import expunged_reason, goal_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexus.api.quiesce_types import SagasAllowed
    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import BlueprintId, NexusId
    from nexus.saga.status import PendingSaga

UNKNOWN = "this Nexus does not know yet from the target blueprint whether it is quiescing; try again"
REQUESTED = "this Nexus is quiescing, as it was asked to: it makes no new sagas any more"


@dataclass(frozen=True, slots=True)
class SagaQuiesce:
    new_sagas: SagasAllowed = "disallowed_unknown"
    reason: str = UNKNOWN
    """Why new sagas are refused."""

    first_recovery_complete: bool = False
    reassignment_generation: int = 1
    reassignment_blueprint_id: BlueprintId | None = None
    reassignment_pending: bool = False
    recovered_reassignment_generation: int = 1
    recovered_blueprint_id: BlueprintId | None = None
    recovery_pending: PendingRecovery | None = None
    drained_blueprint_id: BlueprintId | None = None

    def told(self, blueprint: Blueprint, nexus_id: NexusId) -> SagaQuiesce:
        """The target is this one. Refusing is for ever; a Nexus that is not in the blueprint learns nothing from it."""
        found = blueprint.find_zone(nexus_id)
        if found is None or self.new_sagas == "disallowed_quiesce":
            return self
        if not found[1].in_service:
            return self._refusing(expunged_reason(nexus_id, blueprint.id))
        if goal_state(blueprint, nexus_id) == "quiesced":
            generation = found[1].zone_type.nexus_generation
            return self._refusing(
                f"this Nexus is quiescing: it is of generation {generation}, and in blueprint {blueprint.id} the active"
                f" one is {blueprint.nexus_generation}"
            )
        return replace(self, new_sagas="allowed", reason="")

    def requested(self) -> SagaQuiesce:
        return self if self.new_sagas == "disallowed_quiesce" else self._refusing(REQUESTED)

    def reassignment_started(self) -> SagaQuiesce:
        return replace(self, reassignment_pending=True)

    def reassigned(self, blueprint_id: BlueprintId, *, moved: bool) -> SagaQuiesce:
        """All that this blueprint has this Nexus take over is assigned to it now."""
        known = replace(self, reassignment_pending=False, reassignment_blueprint_id=blueprint_id)
        if moved:
            return replace(known, reassignment_generation=self.reassignment_generation + 1)
        return replace(known, recovered_blueprint_id=blueprint_id) if known._caught_up else known

    def reassignment_unsure(self) -> SagaQuiesce:
        """Something may have moved, and something may be left."""
        return replace(self, reassignment_pending=False, reassignment_generation=self.reassignment_generation + 1)

    def recovery_started(self) -> SagaQuiesce:
        caught_up_to = PendingRecovery(self.reassignment_generation, self.reassignment_blueprint_id)
        return replace(self, recovery_pending=caught_up_to)

    def recovered(self) -> SagaQuiesce:
        """Every saga that was assigned to this Nexus when the pass started is pending here, or at its end."""
        assert self.recovery_pending is not None, "a pass that ends has been started"
        # A reassignment that ended meanwhile and counted nothing up has moved nothing: it is caught up with, too.
        # Upstream forgets that one, and so may wait for the next execution.
        uncounted = self.recovery_pending.generation == self.reassignment_generation
        return replace(
            self,
            first_recovery_complete=True,
            recovery_pending=None,
            recovered_reassignment_generation=self.recovery_pending.generation,
            recovered_blueprint_id=self.reassignment_blueprint_id if uncounted else self.recovery_pending.blueprint_id,
        )

    def recovery_failed(self) -> SagaQuiesce:
        return replace(self, recovery_pending=None)

    def settled(self, *, idle: bool) -> SagaQuiesce:
        """Note as of which blueprint it is drained, if it is. `idle`: no saga is pending."""
        drained = (
            idle
            and self.new_sagas == "disallowed_quiesce"
            and self.first_recovery_complete
            and not self.reassignment_pending
            and self._caught_up
        )
        return replace(self, drained_blueprint_id=self.recovered_blueprint_id) if drained else self

    def status(self, pending: Iterable[PendingSaga]) -> SagaQuiesceStatus:
        return SagaQuiesceStatus(
            new_sagas_allowed=self.new_sagas,
            sagas_pending=[
                PendingSagaInfo(saga.saga_id, saga.saga_name, saga.since, saga.recovered) for saga in pending
            ],
            first_recovery_complete=self.first_recovery_complete,
            reassignment_generation=self.reassignment_generation,
            reassignment_blueprint_id=self.reassignment_blueprint_id,
            reassignment_pending=self.reassignment_pending,
            recovered_reassignment_generation=self.recovered_reassignment_generation,
            recovered_blueprint_id=self.recovered_blueprint_id,
            recovery_pending=self.recovery_pending,
            drained_blueprint_id=self.drained_blueprint_id,
        )

    @property
    def _caught_up(self) -> bool:
        return self.reassignment_generation <= self.recovered_reassignment_generation

    def _refusing(self, reason: str) -> SagaQuiesce:
        return replace(self, new_sagas="disallowed_quiesce", reason=reason)
