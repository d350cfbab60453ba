"""How two blueprints differ, as data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus.deployment.blueprint import Blueprint, BlueprintSled, BlueprintZone
    from nexus.ids import NexusId, SledId


@dataclass(frozen=True, slots=True)
class Removed:
    """A sled that is in the first blueprint alone."""

    before: BlueprintSled


@dataclass(frozen=True, slots=True)
class Added:
    """A sled that is in the second blueprint alone."""

    after: BlueprintSled


@dataclass(frozen=True, slots=True)
class Modified:
    """A sled that is in both, and not the same."""

    before: BlueprintSled
    after: BlueprintSled

    def zones(self) -> Mapping[NexusId, tuple[BlueprintZone | None, BlueprintZone | None]]:
        """Every zone of either, changed or not, by id, before and after."""
        before = {zone.id: zone for zone in self.before.zones}
        after = {zone.id: zone for zone in self.after.zones}
        return {zone_id: (before.get(zone_id), after.get(zone_id)) for zone_id in sorted(before.keys() | after.keys())}


SledChange: TypeAlias = Removed | Added | Modified


@dataclass(frozen=True, slots=True)
class BlueprintDiff:
    """From `before` to `after`. `sleds` has those that differ, by id."""

    before: Blueprint
    after: Blueprint
    sleds: Mapping[SledId, SledChange]

    @property
    def has_changes(self) -> bool:
        """Whether executing one and then the other is to change anything: not who made them, when, and what for."""
        return bool(self.sleds) or _settings(self.before) != _settings(self.after)


def diff(before: Blueprint, after: Blueprint) -> BlueprintDiff:
    sleds: dict[SledId, SledChange] = {}
    for sled_id in sorted(before.sleds.keys() | after.sleds.keys()):
        one, other = before.sleds.get(sled_id), after.sleds.get(sled_id)
        if one is None and other is not None:
            sleds[sled_id] = Added(other)
        elif one is not None and other is None:
            sleds[sled_id] = Removed(one)
        elif one is not None and other is not None and one != other:
            sleds[sled_id] = Modified(one, other)
    return BlueprintDiff(before, after, sleds)


def _settings(blueprint: Blueprint) -> tuple[object, ...]:
    return (
        blueprint.nexus_generation,
        blueprint.internal_dns_version,
        blueprint.external_dns_version,
        blueprint.target_release_minimum_generation,
        blueprint.external_networking_generation,
        blueprint.cockroachdb_fingerprint,
        blueprint.oximeter_read_version,
    )
