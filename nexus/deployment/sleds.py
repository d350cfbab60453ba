"""What may be done with a sled. Pure data, with upstream's names."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class SledPolicyInService(msgspec.Struct, frozen=True, tag_field="kind", tag="in_service"):
    provision_policy: Literal["provisionable", "non_provisionable"]


class SledPolicyExpunged(msgspec.Struct, frozen=True, tag_field="kind", tag="expunged"):
    """Gone for good: what was on it is to be replaced elsewhere."""


SledPolicy: TypeAlias = SledPolicyInService | SledPolicyExpunged

POLICIES: dict[str, SledPolicy] = {
    "in_service": SledPolicyInService("provisionable"),
    "no_provision": SledPolicyInService("non_provisionable"),
    "expunged": SledPolicyExpunged(),
}
"""By their names in the database."""
