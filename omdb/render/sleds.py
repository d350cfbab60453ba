"""Sleds, as a Nexus and as the database have them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nexus.deployment.sleds import SledPolicyExpunged, SledPolicyInService
from omdb.render.tables import empty_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.api.types import UninitializedSled
    from nexus.db.deployment_reads import SledRecord
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.sleds import SledPolicy
    from omdb.render.text import Line


def uninitialized_table(sleds: Sequence[UninitializedSled]) -> list[Line]:
    rows = [
        (str(sled.rack_id), str(sled.cubby), sled.baseboard.serial, sled.baseboard.part, str(sled.baseboard.revision))
        for sled in sorted(sleds, key=lambda sled: sled.cubby)
    ]
    return empty_table(("RACK_ID", "CUBBY", "SERIAL", "PART", "REVISION"), rows)


def sled_table(sleds: Sequence[SledRecord], target: Blueprint) -> list[Line]:
    """By serial number. The state is that of the target blueprint, where the sled is in it."""
    rows = []
    for sled in sorted(sleds, key=lambda sled: sled.serial_number):
        planned = target.sleds.get(sled.id)
        state = "(missing)" if planned is None else planned.state
        available = "(missing)" if planned is None else "available"
        rows.append((sled.serial_number, "scrimlet", POLICY_WORDS[sled.policy], state, available, str(sled.id)))
    return empty_table(("SERIAL", "ROLE", "POLICY", "STATE", "BP AVAIL", "ID"), rows, left=1)


def rust_policy(policy: SledPolicy) -> str:
    """As Rust shows it to a programmer."""
    match policy:
        case SledPolicyInService(provision_policy):
            return f"InService {{ provision_policy: {_WORDS[provision_policy]} }}"
        case SledPolicyExpunged():
            return "Expunged"
    assert_never(policy)


_WORDS = {"provisionable": "Provisionable", "non_provisionable": "NonProvisionable"}

POLICY_WORDS = {"in_service": "in service", "no_provision": "not provisionable", "expunged": "expunged"}
"""By the database's."""
