"""Blueprints: what the control plane is to consist of, sled by sled and zone by zone. Pure data.

The JSON is that of upstream's `Blueprint`; the internal API, the database and `omdb nexus blueprints import` have it
alike. Nexus zones are the only zones. What belongs to things that are not simulated (disks, updates, networks) has one
constant value, which is the default of its member; a list of such things is empty, and may hold nothing.

A blueprint never changes once it is stored. What changes is which one is the target: see `nexus.deployment.edits` for
how one becomes another.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from dropshot.address import SocketAddr
from nexus.ids import BlueprintId, NexusId, SledId
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from collections.abc import Iterator

Generation: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
NothingSimulated: TypeAlias = Annotated[tuple[Any, ...], msgspec.Meta(max_length=0)]

FIRST_GENERATION = 1


# --- zones -----------------------------------------------------------------------------------------------------------


class InService(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="in_service"):
    pass


class Expunged(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="expunged"):
    """Gone for good. `as_of_generation` is the sled's first configuration without the zone; it is ready for cleanup
    once the sled is known not to run it any more.
    """

    as_of_generation: Generation
    ready_for_cleanup: bool


ZoneDisposition: TypeAlias = InService | Expunged


class InstallDataset(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="install_dataset"):
    pass


class ExternalIp(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    ip: str

    def __post_init__(self) -> None:
        ipaddress.ip_address(self.ip)


class PrivateIpv4(msgspec.Struct, frozen=True, kw_only=True):
    ip: str
    subnet: str
    transit_ips: NothingSimulated = ()


class PrivateIpConfig(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="v4"):
    value: PrivateIpv4


class ServiceInterface(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="service"):
    id: UUID


class NetworkInterface(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    ip_config: PrivateIpConfig
    kind: ServiceInterface
    mac: str
    name: str
    primary: bool
    slot: int
    vni: int


class NexusZoneType(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="nexus"):
    """`internal_address` is where its internal API listens, `external_ip` what silo names resolve to."""

    external_dns_servers: NothingSimulated = ()
    external_ip: ExternalIp
    external_tls: bool = False
    internal_address: str
    lockstep_port: Port
    nexus_generation: Generation
    nic: NetworkInterface

    def __post_init__(self) -> None:
        SocketAddr.parse(self.internal_address)


class BlueprintZone(msgspec.Struct, frozen=True, kw_only=True):
    id: NexusId
    disposition: ZoneDisposition
    filesystem_pool: str
    image_source: InstallDataset = InstallDataset()
    zone_type: NexusZoneType

    @property
    def in_service(self) -> bool:
        return isinstance(self.disposition, InService)

    @property
    def address(self) -> SocketAddr:
        return SocketAddr.parse(self.zone_type.internal_address)


# --- sleds -----------------------------------------------------------------------------------------------------------


class CurrentContents(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="current_contents"):
    pass


class HostPhase2(msgspec.Struct, frozen=True, kw_only=True):
    slot_a: CurrentContents = CurrentContents()
    slot_b: CurrentContents = CurrentContents()


class UnknownMeasurements(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="unknown"):
    pass


class Available(msgspec.Struct, frozen=True, kw_only=True, tag_field="availability", tag="available"):
    pass


class UpdateDisposition(msgspec.Struct, frozen=True, kw_only=True):
    generation: Generation = FIRST_GENERATION
    kind: Available = Available()


class Subnet(msgspec.Struct, frozen=True, kw_only=True):
    """`fd00:1122:3344:101::/64`"""

    net: str

    def __post_init__(self) -> None:
        if ipaddress.IPv6Network(self.net).prefixlen != 64:
            raise ValueError(f"{self.net} is not the subnet of a sled: its prefix is not of 64 bits")


SledState: TypeAlias = Literal["active", "decommissioned"]


class BlueprintSled(msgspec.Struct, frozen=True, kw_only=True):
    """`sled_agent_generation` numbers what the sled is to run; it rises with every change of that. `zones` are in the
    order of their ids.
    """

    state: SledState = "active"
    subnet: Subnet
    last_allocated_ip_subnet_offset: Port
    sled_agent_generation: Generation = FIRST_GENERATION
    disks: NothingSimulated = ()
    datasets: NothingSimulated = ()
    zones: tuple[BlueprintZone, ...]
    host_phase_2: HostPhase2 = HostPhase2()
    measurements: UnknownMeasurements = UnknownMeasurements()
    remove_mupdate_override: None = None
    update_disposition: UpdateDisposition = UpdateDisposition()

    def __post_init__(self) -> None:
        ids = [zone.id for zone in self.zones]
        if any(one >= next_ for one, next_ in pairwise(ids)):
            raise ValueError("zones are not in the order of their ids, or one is there twice")


# --- the whole -------------------------------------------------------------------------------------------------------


class DoNotModify(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="do_not_modify"):
    pass


class SingleNode(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="single_node"):
    pass


class PendingMgsUpdates(msgspec.Struct, frozen=True, kw_only=True):
    by_baseboard: NothingSimulated = ()


class FromRackSetup(msgspec.Struct, frozen=True, kw_only=True, tag_field="source", tag="rss"):
    pass


class FromPlanner(msgspec.Struct, frozen=True, kw_only=True, tag_field="source", tag="planner_loaded_from_database"):
    """Upstream has beside it `planner`, with the planner's whole report, for a blueprint that was not stored yet."""


class FromEdit(msgspec.Struct, frozen=True, kw_only=True, tag_field="source", tag="reconfigurator_cli_edit"):
    pass


class FromTest(msgspec.Struct, frozen=True, kw_only=True, tag_field="source", tag="test"):
    pass


BlueprintSource: TypeAlias = FromRackSetup | FromPlanner | FromEdit | FromTest


class BlueprintMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A blueprint without its contents, as it is listed.

    The DNS versions are those that were there when it was made: executing it makes at most the next ones. Only Nexuses
    of `nexus_generation` are to run sagas and be found in DNS.
    """

    id: BlueprintId
    parent_blueprint_id: BlueprintId | None
    time_created: datetime
    creator: str
    comment: str
    source: BlueprintSource
    internal_dns_version: Generation
    external_dns_version: Generation
    nexus_generation: Generation
    target_release_minimum_generation: Generation = FIRST_GENERATION
    external_networking_generation: Generation = FIRST_GENERATION
    cockroachdb_fingerprint: str = ""
    cockroachdb_setting_preserve_downgrade: DoNotModify = DoNotModify()

    def __post_init__(self) -> None:
        if self.time_created.tzinfo is None:
            raise ValueError("time_created has no time zone")


class Blueprint(BlueprintMetadata, frozen=True, kw_only=True):
    sleds: dict[SledId, BlueprintSled]
    oximeter_read_version: Generation = FIRST_GENERATION
    oximeter_read_mode: SingleNode = SingleNode()
    clickhouse_cluster_config: None = None
    pending_mgs_updates: PendingMgsUpdates = PendingMgsUpdates()

    def __post_init__(self) -> None:
        super().__post_init__()
        ids = [zone.id for _, zone in self.zones()]
        if len(set(ids)) < len(ids):
            raise ValueError("a zone is on two sleds")

    def zones(self) -> Iterator[tuple[SledId, BlueprintZone]]:
        """Every zone with its sled, in the order of their ids."""
        for sled_id, sled in sorted(self.sleds.items()):
            for zone in sled.zones:
                yield sled_id, zone

    def find_zone(self, zone_id: NexusId) -> tuple[SledId, BlueprintZone] | None:
        return next(((sled_id, zone) for sled_id, zone in self.zones() if zone.id == zone_id), None)

    def active_nexuses(self) -> list[NexusZone]:
        """Those in service that are of the generation that is to be active."""
        return self.nexuses_in_service(self.nexus_generation)

    def nexuses_in_service(self, nexus_generation: int) -> list[NexusZone]:
        """Those of one generation. Of the generation that executes it DNS is made."""
        return [
            NexusZone(zone.id, sled_id, zone.zone_type.internal_address, zone.zone_type.external_ip.ip)
            for sled_id, zone in self.zones()
            if zone.in_service and zone.zone_type.nexus_generation == nexus_generation
        ]

    def older_nexuses(self, nexus_generation: int) -> list[NexusId]:
        """Those in service that are of an earlier generation."""
        return [
            zone.id
            for _, zone in self.zones()
            if zone.in_service and zone.zone_type.nexus_generation < nexus_generation
        ]


# --- the target ------------------------------------------------------------------------------------------------------


class BlueprintTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The blueprint that the control plane is to be like. It is executed only if `enabled`."""

    target_id: BlueprintId
    enabled: bool
    time_made_target: datetime


class BlueprintTargetSet(msgspec.Struct, frozen=True, kw_only=True):
    target_id: BlueprintId
    enabled: bool
