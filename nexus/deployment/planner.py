"""The planner: how the target is to be changed, given what is known of the world. Pure.

What it does so far is upstream's first step: a sled whose policy says that it is expunged takes its zones with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.edits import ExpungeSled

if TYPE_CHECKING:
    from collections.abc import Collection

    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.edits import Edit
    from nexus.ids import SledId


def plan(target: Blueprint, *, expunged_sleds: Collection[SledId]) -> tuple[Edit, ...]:
    """The edits that make the next blueprint of the target: none where all is as it should be."""
    return tuple(
        ExpungeSled(sled_id)
        for sled_id, sled in sorted(target.sleds.items())
        if sled_id in expunged_sleds and sled.state == "active"
    )
