"""What a Nexus knows of the target blueprint, and what it is to make of reading it again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint, BlueprintTarget


@dataclass(frozen=True, slots=True)
class LoadedBlueprint:
    """The target and its contents. They are replaced when another blueprint became the target, or when the target was
    enabled or disabled.
    """

    target: BlueprintTarget
    blueprint: Blueprint


class BlueprintChanged(Exception):
    """A stored blueprint is not what it was: somebody wrote to the database past Nexus."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__(f"blueprint {blueprint.id} has changed, which no blueprint ever should")


FIRST = "first target blueprint"
UPDATED = "target blueprint updated"
ENABLED = "target blueprint enabled"
DISABLED = "target blueprint disabled"
UNCHANGED = "target blueprint unchanged"
UNCHANGED_ERROR = "target blueprint unchanged (error)"
"""Upstream's words."""


def load_status(known: LoadedBlueprint | None, found: LoadedBlueprint) -> str:
    """How what was found differs from what is known. Raises BlueprintChanged."""
    if known is None:
        return FIRST
    if known.target.target_id != found.target.target_id:
        return UPDATED
    if known.blueprint != found.blueprint:
        raise BlueprintChanged(known.blueprint)
    if known.target.enabled != found.target.enabled:
        return ENABLED if found.target.enabled else DISABLED
    return UNCHANGED
