"""What state a Nexus is to be in as the generations take turns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import NexusId

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
