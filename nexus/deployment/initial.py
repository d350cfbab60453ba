"""The first blueprint of a rack, which rack setup hands over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.blueprint import FIRST_GENERATION, Blueprint, FromTest
from nexus.deployment.zones import new_nexus_zone, new_sled
from nexus.ids import SledId

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.ids import BlueprintId
    from nexus.rack import RackInitialization

INITIAL_CREATOR = "nexus-test-utils"
INITIAL_COMMENT = "initial test blueprint"


def initial_blueprint(
    handoff: RackInitialization,
    *,
    blueprint_id: BlueprintId,
    now: datetime,
    internal_dns_version: int,
    external_dns_version: int,
) -> Blueprint:
    """Every sled of the handoff, and on it the Nexus zones that are said to be there: all in service, of generation 1.

    Creator, comment and source are upstream's for `run-all`.
    """
    zones = [(zone.sled_id, new_nexus_zone(zone, nexus_generation=FIRST_GENERATION)) for zone in handoff.nexus_zones]
    return Blueprint(
        id=blueprint_id,
        parent_blueprint_id=None,
        time_created=now,
        creator=INITIAL_CREATOR,
        comment=INITIAL_COMMENT,
        source=FromTest(),
        internal_dns_version=internal_dns_version,
        external_dns_version=external_dns_version,
        nexus_generation=FIRST_GENERATION,
        sleds={
            SledId(sled.id): new_sled(index, [zone for on, zone in zones if on == sled.id])
            for index, sled in enumerate(handoff.sleds)
        },
    )
