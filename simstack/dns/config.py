"""The DNS server's configuration as it crosses the wire, in API versions 2.0.0 and 1.0.0, and the generation rules.

Upstream's spelling (`dns-server-2.0.0`). Version 1 has neither `serial` nor NS records. What can be said of one
value alone is checked here while decoding; what a zone must fulfil is checked by `zone.Catalog`.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

MAX_GENERATION = 2**64 - 1
MAX_SERIAL = 2**32 - 1

Serial: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SERIAL)]
Generation: TypeAlias = Annotated[int, Meta(ge=0)]
UInt16: TypeAlias = Annotated[int, Meta(ge=0, le=2**16 - 1)]
Timestamp: TypeAlias = Annotated[datetime, Meta(tz=True)]


class A(msgspec.Struct, frozen=True, tag_field="type", tag="A"):
    data: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "data", str(IPv4Address(self.data)))


class AAAA(msgspec.Struct, frozen=True, tag_field="type", tag="AAAA"):
    data: str

    def __post_init__(self) -> None:
        address = IPv6Address(self.data)
        if address.scope_id is not None:
            raise ValueError(f"{self.data!r} has a scope id, which an AAAA record cannot hold")
        msgspec.structs.force_setattr(self, "data", str(address))


class Srv(msgspec.Struct, frozen=True):
    prio: UInt16
    weight: UInt16
    port: UInt16
    target: str


class SRV(msgspec.Struct, frozen=True, tag_field="type", tag="SRV"):
    data: Srv


class NS(msgspec.Struct, frozen=True, tag_field="type", tag="NS"):
    data: str


DnsRecord: TypeAlias = A | AAAA | SRV | NS
DnsRecordV1: TypeAlias = A | AAAA | SRV


class DnsConfigZone(msgspec.Struct, frozen=True):
    """`records` maps a name relative to the zone (`@`: the zone itself) to its records."""

    zone_name: str
    records: dict[str, tuple[DnsRecord, ...]]


class DnsConfigZoneV1(msgspec.Struct, frozen=True):
    zone_name: str
    records: dict[str, tuple[DnsRecordV1, ...]]


class DnsConfigParams(msgspec.Struct, frozen=True):
    """Body of `PUT /config`: replaces everything the server holds."""

    generation: Generation
    serial: Serial
    time_created: Timestamp
    zones: tuple[DnsConfigZone, ...]

    def __post_init__(self) -> None:
        _check_generation(self.generation)


class DnsConfigParamsV1(msgspec.Struct, frozen=True):
    generation: Generation
    time_created: Timestamp
    zones: tuple[DnsConfigZoneV1, ...]

    def upgraded(self) -> DnsConfigParams:
        """The same in version 2, the generation as its serial. Raises ValueError if a serial cannot hold it."""
        if self.generation > MAX_SERIAL:
            raise ValueError(f"generation {self.generation} does not fit in a serial number (32 bits)")
        zones = tuple(DnsConfigZone(zone.zone_name, dict(zone.records)) for zone in self.zones)
        return DnsConfigParams(self.generation, self.generation, self.time_created, zones)


class DnsConfig(msgspec.Struct, frozen=True):
    """Answer to `GET /config`: what the server holds, and since when."""

    generation: Generation
    serial: Serial
    time_created: Timestamp
    time_applied: Timestamp
    zones: tuple[DnsConfigZone, ...]

    @classmethod
    def empty(cls, *, now: datetime) -> DnsConfig:
        """Generation 0: what a server holds before it is told anything. Generation 1 is the first real one."""
        return cls(generation=0, serial=0, time_created=now, time_applied=now, zones=())

    def replaced_by(self, params: DnsConfigParams, *, now: datetime) -> DnsConfig:
        """The configuration after a PUT: `self` if it is of the same generation, whatever else differs.

        Zone names are lower-cased and names without records dropped. Raises StaleGeneration for an older generation.
        """
        if params.generation < self.generation:
            raise StaleGeneration(offered=params.generation, current=self.generation)
        if params.generation == self.generation:
            return self
        zones = tuple(
            DnsConfigZone(zone.zone_name.lower(), {name: records for name, records in zone.records.items() if records})
            for zone in params.zones
        )
        return DnsConfig(params.generation, params.serial, params.time_created, now, zones)

    def downgraded(self) -> DnsConfigV1:
        """The same in version 1. Raises IncompatibleRecord if an NS record is among the data."""
        zones = []
        for zone in self.zones:
            records: dict[str, tuple[DnsRecordV1, ...]] = {}
            for name, of_name in zone.records.items():
                kept = tuple(record for record in of_name if not isinstance(record, NS))
                if len(kept) != len(of_name):
                    raise IncompatibleRecord(f"{name} in zone {zone.zone_name} has NS records")
                records[name] = kept
            zones.append(DnsConfigZoneV1(zone.zone_name, records))
        return DnsConfigV1(self.generation, self.time_created, self.time_applied, tuple(zones))


class DnsConfigV1(msgspec.Struct, frozen=True):
    generation: Generation
    time_created: Timestamp
    time_applied: Timestamp
    zones: tuple[DnsConfigZoneV1, ...]


class StaleGeneration(Exception):
    """A PUT of an older generation than the server holds. Nothing was changed."""

    def __init__(self, *, offered: int, current: int) -> None:
        super().__init__(f"unsupported attempt to update to generation {offered} while at generation {current}")


class IncompatibleRecord(Exception):
    """The configuration cannot be told in the API version that was asked for."""


def _check_generation(generation: int) -> None:
    # Not a `Meta(le=…)`: msgspec's bounds stop at 63 bits.
    if generation > MAX_GENERATION:
        raise ValueError("generation does not fit in 64 bits")
