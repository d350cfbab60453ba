"""DNS configuration as DNS servers take it and as the database holds its records. Pure.

The JSON is that of upstream's DNS server API 2.0.0: `PUT /config` has a `DnsConfigParams`, a column
`dns_record_data` a list of `DnsRecord`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

DnsGroup: TypeAlias = Literal["internal", "external"]


class A(msgspec.Struct, frozen=True, tag_field="type", tag="A"):
    data: str


class AAAA(msgspec.Struct, frozen=True, tag_field="type", tag="AAAA"):
    data: str


class Srv(msgspec.Struct, frozen=True):
    prio: int
    weight: int
    port: int
    target: str


class SRV(msgspec.Struct, frozen=True, tag_field="type", tag="SRV"):
    data: Srv


class NS(msgspec.Struct, frozen=True, tag_field="type", tag="NS"):
    data: str


DnsRecord: TypeAlias = A | AAAA | SRV | NS


class DnsConfigZone(msgspec.Struct, frozen=True):
    """`records` maps a name relative to the zone (`@`: the zone itself) to its records."""

    zone_name: str
    records: dict[str, tuple[DnsRecord, ...]]


class DnsConfigParams(msgspec.Struct, frozen=True):
    """All that a DNS server of one group serves. A higher `generation` replaces everything."""

    generation: int
    serial: int
    time_created: datetime
    zones: tuple[DnsConfigZone, ...]
