"""Wire types of `/quiesce`, as `nexus.api.types` has the others. Pure data."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from nexus.api.types import Duration
from nexus.ids import BlueprintId

SagasAllowed: TypeAlias = Literal["allowed", "disallowed_quiesce", "disallowed_unknown"]


class DrainingSagasDetails(msgspec.Struct, frozen=True):
    time_requested: datetime


class DrainingDbDetails(msgspec.Struct, frozen=True):
    time_requested: datetime
    duration_draining_sagas: Duration


class RecordingQuiesceDetails(msgspec.Struct, frozen=True):
    time_requested: datetime
    duration_draining_sagas: Duration
    duration_draining_db: Duration


class QuiescedDetails(msgspec.Struct, frozen=True):
    time_requested: datetime
    time_quiesced: datetime
    duration_draining_sagas: Duration
    duration_draining_db: Duration
    duration_recording_quiesce: Duration
    duration_total: Duration


class Undetermined(msgspec.Struct, frozen=True, tag_field="state", tag="undetermined"):
    """It is not known yet what the target blueprint wants."""


class NotQuiescing(msgspec.Struct, frozen=True, tag_field="state", tag="running"):
    pass


class DrainingSagas(msgspec.Struct, frozen=True, tag_field="state", tag="draining_sagas"):
    quiesce_details: DrainingSagasDetails


class DrainingDb(msgspec.Struct, frozen=True, tag_field="state", tag="draining_db"):
    quiesce_details: DrainingDbDetails


class RecordingQuiesce(msgspec.Struct, frozen=True, tag_field="state", tag="recording_quiesce"):
    quiesce_details: RecordingQuiesceDetails


class Quiesced(msgspec.Struct, frozen=True, tag_field="state", tag="quiesced"):
    quiesce_details: QuiescedDetails


QuiesceState: TypeAlias = Undetermined | NotQuiescing | DrainingSagas | DrainingDb | RecordingQuiesce | Quiesced


class PendingSagaInfo(msgspec.Struct, frozen=True):
    saga_id: UUID
    saga_name: str
    time_pending: datetime
    recovered: bool


class PendingRecovery(msgspec.Struct, frozen=True):
    """What a pass of recovery that is under way will have caught up to."""

    generation: int
    blueprint_id: BlueprintId | None


class SagaQuiesceStatus(msgspec.Struct, frozen=True):
    new_sagas_allowed: SagasAllowed
    sagas_pending: list[PendingSagaInfo]
    first_recovery_complete: bool
    reassignment_generation: int
    reassignment_blueprint_id: BlueprintId | None
    reassignment_pending: bool
    recovered_reassignment_generation: int
    recovered_blueprint_id: BlueprintId | None
    recovery_pending: PendingRecovery | None
    drained_blueprint_id: BlueprintId | None


class HeldDbClaimInfo(msgspec.Struct, frozen=True):
    """A database connection in use. `debug` says which task has it."""

    id: int
    held_since: datetime
    debug: str


class QuiesceStatus(msgspec.Struct, frozen=True):
    state: QuiesceState
    sagas: SagaQuiesceStatus
    db_claims: list[HeldDbClaimInfo]

    @property
    def is_expunged(self) -> bool:
        """Whether it refuses new sagas and does not quiesce: an expunged one alone does that."""
        return isinstance(self.state, NotQuiescing) and self.sagas.new_sagas_allowed == "disallowed_quiesce"
