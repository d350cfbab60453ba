"""What state a Nexus is to be in as the generations take turns. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from nexus.deployment.blueprint import Expunged, InService
from nexus.deployment.own_zone import refuse_expunged
from nexus.ids import NexusId

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import BlueprintId

NexusState: TypeAlias = Literal["active", "not_yet", "quiesced"]
"""As in `db_metadata_nexus`."""


@dataclass(frozen=True, slots=True)
class UseDatabase:
    """It may: it is active, or joins those that are."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """It may, once these are recorded as active: those of its generation that have waited."""

    nexus_ids: tuple[NexusId, ...]


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
            f"Nexus {nexus_id} is quiesced: it has made way for others, and never comes back; a new Nexus needs another"
            " id"
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


def turn_of(blueprint: Blueprint, states: Mapping[NexusId, NexusState], nexus_id: NexusId) -> Turn:
    """What a Nexus that starts is to do, or to wait for. One that the blueprint does not have joins the active
    generation.

    A generation takes over when the target says so, and whole: whoever has waited, and whoever comes just then. Raises
    NexusExpunged and NexusQuiesced: then its turn is over, or will never come.
    """
    refuse_expunged(blueprint, nexus_id)
    match states.get(nexus_id):
        case "active":
            return UseDatabase()
        case "quiesced":
            raise NexusQuiesced(nexus_id)
        case None if (reason := _unrecorded_waits_for(blueprint, nexus_id)) is not None:
            return AwaitRecord(reason)
        case "not_yet" | None:
            return _turn_to_take_over(blueprint, states, nexus_id)


def _unrecorded_waits_for(blueprint: Blueprint, nexus_id: NexusId) -> str | None:
    """None if nobody will record anything of it."""
    match goal_state(blueprint, nexus_id):
        case "quiesced":
            return f"its record in db_metadata_nexus, while in blueprint {blueprint.id} its generation is to make way"
        case "not_yet":
            return "an active Nexus to record that this one is of a later generation"
        case "active" | None:
            return None


def _turn_to_take_over(blueprint: Blueprint, states: Mapping[NexusId, NexusState], nexus_id: NexusId) -> Turn:
    own = blueprint.find_zone(nexus_id)
    generation = blueprint.nexus_generation if own is None else own[1].zone_type.nexus_generation
    in_the_way = [
        reason
        for other, state in states.items()
        if state == "active" and (reason := _why_in_the_way(blueprint, other, generation)) is not None
    ]
    if in_the_way:
        return AwaitHandoff(f"the handoff: {'; '.join(in_the_way)}")
    if generation > blueprint.nexus_generation:
        return AwaitHandoff(
            f"the handoff: this one is of generation {generation}, and in blueprint {blueprint.id} the active one is"
            f" {blueprint.nexus_generation}"
        )
    peers = [NexusId(zone.id) for zone in blueprint.nexuses_in_service(generation)]
    together = tuple(peer for peer in peers if states.get(peer) == "not_yet")
    return TakeOver(together) if together else UseDatabase()


def _why_in_the_way(blueprint: Blueprint, other: NexusId, generation: int) -> str | None:
    """None for an active Nexus that keeps none of this generation waiting: it is of that, too, or it is gone."""
    found = blueprint.find_zone(other)
    if found is None:
        return f"{other} is not quiesced yet"
    _, zone = found
    if zone.zone_type.nexus_generation == generation:
        return None
    match zone.disposition:
        case Expunged(ready_for_cleanup=True):
            return None
        case Expunged():
            return f"{other} is expunged, and not known to run no more"
        case InService():
            return f"{other} is not quiesced yet"


def who_is_waited_for(blueprint: Blueprint, nexus_id: NexusId, done: Collection[NexusId]) -> list[str]:
    """Who keeps a Nexus that is drained itself from making way: those of its generation that are not drained, and those
    that are expunged and may leave sagas to it. `done` are drained, or were never active, or have made way.
    """
    own = blueprint.find_zone(nexus_id)
    assert own is not None, "only a Nexus with a zone in service is drained as of a blueprint"
    waited_for: list[str] = []
    for _, zone in blueprint.zones():
        if zone.zone_type.nexus_generation == own[1].zone_type.nexus_generation:
            match zone.disposition:
                case Expunged(ready_for_cleanup=False):
                    waited_for.append(f"{zone.id} (expunged, and not known to run no more)")
                case InService() if zone.id not in done:
                    waited_for.append(str(zone.id))
    return waited_for
