"""New Nexus zones, and the sleds that they are put on, with the constants of what is not simulated. Pure.

Addresses of sleds and interfaces are upstream's for a fresh rack; nothing listens there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from nexus.deployment.blueprint import (
    BlueprintSled,
    BlueprintZone,
    ExternalIp,
    InService,
    NetworkInterface,
    NexusZoneType,
    PrivateIpConfig,
    PrivateIpv4,
    ServiceInterface,
    Subnet,
)
from nexus.ids import NexusId, SledId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.rack import NexusZone

RESERVED_SLED_ADDRESSES = 32
"""Offset of the last address that a sled gives to nobody else."""

FIRST_SLED_SUBNET = 0x101
SERVICES_VNI = 100


def new_sled(index: int, zones: Sequence[BlueprintZone]) -> BlueprintSled:
    """The `index`-th sled of a rack (from 0) with its first configuration."""
    return BlueprintSled(
        subnet=Subnet(net=f"fd00:1122:3344:{FIRST_SLED_SUBNET + index:x}::/64"),
        last_allocated_ip_subnet_offset=RESERVED_SLED_ADDRESSES,
        zones=tuple(sorted(zones, key=lambda zone: zone.id)),
    )


def new_nexus_zone(where: NexusZone, *, nexus_generation: int) -> BlueprintZone:
    """A Nexus zone in service. Everything in it follows from the arguments."""
    return BlueprintZone(
        id=NexusId(where.id),
        disposition=InService(),
        filesystem_pool=_pool_name(SledId(where.sled_id)),
        zone_type=NexusZoneType(
            external_ip=ExternalIp(id=uuid5(where.id, "external IP"), ip=where.external_ip),
            internal_address=where.internal_address,
            lockstep_port=where.address.port,
            nexus_generation=nexus_generation,
            nic=NetworkInterface(
                id=uuid5(where.id, "network interface"),
                ip_config=PrivateIpConfig(value=PrivateIpv4(ip="172.30.2.5", subnet="172.30.2.0/24")),
                kind=ServiceInterface(id=where.id),
                mac="A8:40:25:FF:80:00",
                name=f"nexus-{where.id}",
                primary=True,
                slot=0,
                vni=SERVICES_VNI,
            ),
        ),
    )


def _pool_name(sled_id: SledId) -> str:
    """A name of upstream's form: no disks are simulated, so every sled has one pool."""
    return f"oxp_{UUID(bytes=sled_id.bytes, version=4)}"
