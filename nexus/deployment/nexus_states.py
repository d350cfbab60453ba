"""What state a Nexus is to be in as the generations take turns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import BlueprintId, NexusId

NexusState: TypeAlias = Literal["active", "not_yet", "quiesced"]
"""As in `db_metadata_nexus`."""


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


def record_waits_for(blueprint: Blueprint, nexus_id: NexusId) -> str | None:
    """What a Nexus that starts, and of which nothing is recorded, has to wait for before that can be otherwise. None if
    nobody will record anything of it: it may join.
    """
    match goal_state(blueprint, nexus_id):
        case "quiesced":
            return f"its record in db_metadata_nexus, while in blueprint {blueprint.id} its generation is to make way"
        case "not_yet":
            return "an active Nexus to record that this one is of a later generation"
        case "active" | None:
            return None


def joining_waits_for(blueprint: Blueprint, states: Mapping[NexusId, NexusState]) -> str | None:
    """What a Nexus of which nothing is recorded has to wait for before it joins. None if it may."""
    older = [other for other in still_active(states) if goal_state(blueprint, other) == "quiesced"]
    return f"the handoff: {_are_active(older)}" if older else None


def handoff_waits_for(states: Mapping[NexusId, NexusState]) -> str | None:
    """What a Nexus that is not active yet has to wait for. None if its generation is to take over now."""
    active = still_active(states)
    return f"the handoff: {_are_active(active)}" if active else None


def _are_active(nexus_ids: list[NexusId]) -> str:
    return f"{', '.join(map(str, nexus_ids))} {'is' if len(nexus_ids) == 1 else 'are'} not quiesced yet"
