"""The planner: the next blueprint, given the target and what is known of the world. Pure.

What it does so far is upstream's first step: a sled whose policy says that it is expunged takes its zones with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.edits import ExpungeSled, child, edited

if TYPE_CHECKING:
    from collections.abc import Collection

    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.edits import ChildMetadata
    from nexus.ids import SledId


def plan(target: Blueprint, metadata: ChildMetadata, *, expunged_sleds: Collection[SledId]) -> Blueprint:
    """A child of the target, like it if there is nothing to do. Planning again from what came out changes nothing."""
    planned = child(target, metadata)
    for sled_id, sled in sorted(target.sleds.items()):
        if sled_id in expunged_sleds and sled.state == "active":
            planned = edited(planned, ExpungeSled(sled_id))
    return planned
