"""Executing a blueprint: what follows from it for sagas, and the report of an execution. Pure.

Which steps there are, and in which order, is in `nexus.background.tasks.blueprint_executor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from nexus.deployment.blueprint import Expunged
from nexus.deployment.nexus_states import goal_state

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint, BlueprintZone
    from nexus.ids import NexusId

ORPHANED_COMMENT = "its Nexus is expunged, and of a generation too old for its sagas to be run by another"


class NotInBlueprint(Exception):
    """A Nexus executes a blueprint that has no zone of its own: it cannot tell which generation it is of."""

    def __init__(self, nexus_id: NexusId, blueprint: Blueprint) -> None:
        super().__init__(f"blueprint {blueprint.id} has no zone {nexus_id}, which is this Nexus")


@dataclass(frozen=True, slots=True)
class SagaMoves:
    """What becomes of the sagas of Nexuses that are expunged and surely do not run any more."""

    reassign_from: tuple[NexusId, ...]
    """Of the generation of who executes the blueprint: it takes them over."""

    orphaned: tuple[NexusId, ...]
    """Of a generation before that and before the active one, whose sagas nobody can run."""


def own_generation(blueprint: Blueprint, executing: NexusId) -> int:
    """Raises NotInBlueprint."""
    own = blueprint.find_zone(executing)
    if own is None:
        raise NotInBlueprint(executing, blueprint)
    return own[1].zone_type.nexus_generation


def saga_moves(blueprint: Blueprint, executing: NexusId) -> SagaMoves:
    """Upstream's rule. Nexuses of a later generation, and those that are not in the blueprint, are left alone.

    Raises NotInBlueprint.
    """
    generation = own_generation(blueprint, executing)
    oldest_running = min(generation, blueprint.nexus_generation)
    gone = [zone for zone in expunged_zones(blueprint, ready_for_cleanup=True) if zone.id != executing]
    return SagaMoves(
        reassign_from=tuple(zone.id for zone in gone if zone.zone_type.nexus_generation == generation),
        orphaned=tuple(zone.id for zone in gone if zone.zone_type.nexus_generation < oldest_running),
    )


def why_not_to_execute(blueprint: Blueprint, nexus_id: NexusId) -> str | None:
    """None for a Nexus of the active generation, and for one of an older generation, which drains."""
    match goal_state(blueprint, nexus_id):
        case "active" | "quiesced":
            return None
        case "not_yet":
            return f"this Nexus, zone {nexus_id}, is of a generation that is not active yet: it executes nothing so far"
        case None if blueprint.find_zone(nexus_id) is None:
            return str(NotInBlueprint(nexus_id, blueprint))
        case None:
            return f"this Nexus, zone {nexus_id}, is expunged: it executes nothing any more"


def expunged_zones(blueprint: Blueprint, *, ready_for_cleanup: bool) -> list[BlueprintZone]:
    """In the order of their ids. Those that are not ready for cleanup may run still."""
    return [
        zone
        for _, zone in blueprint.zones()
        if isinstance(zone.disposition, Expunged) and zone.disposition.ready_for_cleanup == ready_for_cleanup
    ]


class StepReport(msgspec.Struct, frozen=True):
    """One step: what it did, or why it could not do it, which keeps no later step from being tried."""

    description: str
    outcome: Literal["completed", "warning"]
    message: str
    elapsed_ms: int


class EventReport(msgspec.Struct, frozen=True):
    """The steps of one execution, in their order. `omdb nexus background-tasks print-report` draws it."""

    steps: list[StepReport]
