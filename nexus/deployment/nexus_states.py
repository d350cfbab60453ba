"""What state a Nexus is to be in as the generations take turns. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from nexus.deployment.own_zone import refuse_expunged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import BlueprintId, NexusId

NexusState: TypeAlias = Literal["active", "not_yet", "quiesced"]
"""As in `db_metadata_nexus`."""


@dataclass(frozen=True, slots=True)
class UseDatabase:
    """It may: it is active, or joins those that are."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """It may, once it is recorded as active, and with it all that are not active yet: nobody is any more."""


@dataclass(frozen=True, slots=True)
class AwaitRecord:
    """It waits until another has recorded its state."""

    reason: str


@dataclass(frozen=True, slots=True)
class AwaitHandoff:
    """It waits until others have made way, for as long as they take."""

    reason: str


Turn: TypeAlias = UseDatabase | TakeOver | AwaitRecord | AwaitHandoff


class NexusQuiesced(Exception):
    """This Nexus has been quiesced, and never comes back."""

    def __init__(self, nexus_id: NexusId) -> None:
        super().__init__(
            f"Nexus {nexus_id} is quiesced: its generation has made way for the next one, and it never comes back; a"
            " new Nexus needs another id"
        )


def goal_state(blueprint: Blueprint, nexus_id: NexusId) -> NexusState | None:
    """None for one that has no zone in service."""
    found = blueprint.find_zone(nexus_id)
    if found is None or not found[1].in_service:
        return None
    generation = found[1].zone_type.nexus_generation
    if generation == blueprint.nexus_generation:
        return "active"
    return "not_yet" if generation > blueprint.nexus_generation else "quiesced"


def expunged_reason(nexus_id: NexusId, blueprint_id: BlueprintId) -> str:
    """Why that Nexus makes no new sagas."""
    return f"zone {nexus_id}, which is this Nexus, is expunged in blueprint {blueprint_id}"


def first_states(blueprint: Blueprint, *, generation: int) -> dict[NexusId, NexusState]:
    """What is recorded of Nexuses in service of which nothing is recorded, by one of this generation, which is active:
    those of a later one wait for the handoff, even if they are to be active already. Nothing for an earlier one.
    """
    states: dict[NexusId, NexusState] = {}
    for _, zone in blueprint.zones():
        if zone.in_service and zone.zone_type.nexus_generation >= generation:
            states[zone.id] = "active" if zone.zone_type.nexus_generation == generation else "not_yet"
    return states


def still_active(states: Mapping[NexusId, NexusState]) -> list[NexusId]:
    """Who keeps the Nexuses that are not active yet from taking over."""
    return [nexus_id for nexus_id, state in states.items() if state == "active"]


def turn_of(blueprint: Blueprint, states: Mapping[NexusId, NexusState], nexus_id: NexusId) -> Turn:
    """What a Nexus that starts is to do, or to wait for. One of which nothing is recorded, and nobody will record
    anything, joins those of the active generation.

    Raises NexusExpunged and NexusQuiesced: then its turn is over, or will never come.
    """
    refuse_expunged(blueprint, nexus_id)
    match states.get(nexus_id):
        case "active":
            return UseDatabase()
        case "quiesced":
            raise NexusQuiesced(nexus_id)
        case "not_yet":
            return _handoff_from(still_active(states)) or TakeOver()
        case None:
            return _turn_of_unrecorded(blueprint, states, nexus_id)


def _turn_of_unrecorded(blueprint: Blueprint, states: Mapping[NexusId, NexusState], nexus_id: NexusId) -> Turn:
    match goal_state(blueprint, nexus_id):
        case "quiesced":
            return AwaitRecord(
                f"its record in db_metadata_nexus, while in blueprint {blueprint.id} its generation is to make way"
            )
        case "not_yet":
            return AwaitRecord("an active Nexus to record that this one is of a later generation")
        case "active" | None:
            older = [other for other in still_active(states) if goal_state(blueprint, other) == "quiesced"]
            return _handoff_from(older) or UseDatabase()


def _handoff_from(nexus_ids: list[NexusId]) -> AwaitHandoff | None:
    if not nexus_ids:
        return None
    are = "is" if len(nexus_ids) == 1 else "are"
    return AwaitHandoff(f"the handoff: {', '.join(map(str, nexus_ids))} {are} not quiesced yet")
