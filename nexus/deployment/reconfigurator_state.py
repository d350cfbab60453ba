"""What `omdb reconfigurator export` saves: all that is known of what the control plane consists of. Pure data.

The JSON has the member names of upstream's `UnstableReconfiguratorState`, a format that upstream does not keep stable,
and of its `PlanningInput` and `SledDetails`. It is not made to be read by upstream's tools: of the planning input, what
is not simulated (policy, network resources, of a sled its state and resources) is left out, `collections`, the
inventory, is always empty, and `reconfigurator_config` is an addition.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nexus.deployment.blueprint import BlueprintTarget
from nexus.deployment.config import ReconfiguratorConfigView
from nexus.deployment.sleds import SledPolicy
from nexus.dns_types import DnsConfigParams
from nexus.ids import SledId


class BaseboardId(msgspec.Struct, frozen=True):
    part_number: str
    serial_number: str


class SledDetails(msgspec.Struct, frozen=True):
    policy: SledPolicy
    baseboard_id: BaseboardId


class PlanningInput(msgspec.Struct, frozen=True, kw_only=True):
    """The DNS versions are None where there is none yet: the rack is not initialized."""

    internal_dns_version: int | None
    external_dns_version: int | None
    sleds: dict[SledId, SledDetails]


class ReconfiguratorState(msgspec.Struct, frozen=True, kw_only=True):
    """Of either DNS group there is the newest version, under its number; of the configurations the newest."""

    planning_input: PlanningInput
    collections: tuple[Any, ...] = ()
    target_blueprint: BlueprintTarget | None
    blueprints: tuple[msgspec.Raw, ...]
    """As stored, the newest first: also those that this release would not understand."""

    reconfigurator_config: ReconfiguratorConfigView | None
    internal_dns: dict[int, DnsConfigParams]
    external_dns: dict[int, DnsConfigParams]
    silo_names: tuple[str, ...]
    external_dns_zone_names: tuple[str, ...]
