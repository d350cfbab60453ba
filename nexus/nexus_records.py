"""The DNS records that follow from which Nexuses are in service. Pure.

In the internal zone: an SRV record for each Nexus under `_nexus._tcp` and, because the internal API carries what
upstream calls lockstep, under `_nexus-lockstep._tcp`; and the address record of its host. In the external zone: the
external address of every Nexus under each silo's name.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from nexus.dns_types import AAAA, SRV, A, Srv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from nexus.dns_types import DnsRecord
    from nexus.rack import NexusZone

Records = dict[str, tuple["DnsRecord", ...]]
"""By name, relative to the zone."""

SRV_NAMES = ("_nexus._tcp", "_nexus-lockstep._tcp")


def internal_records(
    current: Mapping[str, tuple[DnsRecord, ...]], zones: Sequence[NexusZone], zone_name: str
) -> Records:
    """`current` with the records of these Nexuses, and of no others, in place of those that were there."""
    suffix = f".{zone_name}"
    hosts_before = {
        record.data.target.removesuffix(suffix)
        for name in SRV_NAMES
        for record in current.get(name, ())
        if isinstance(record, SRV)
    }
    records = {name: of_name for name, of_name in current.items() if name not in hosts_before and name not in SRV_NAMES}
    in_order = sorted(zones, key=lambda zone: zone.id)
    for zone in in_order:
        records[host_name(zone.id)] = (address_record(zone.address.host),)
    for name in SRV_NAMES:
        if in_order:
            records[name] = tuple(
                SRV(Srv(prio=0, weight=0, port=zone.address.port, target=host_name(zone.id) + suffix))
                for zone in in_order
            )
    return records


def external_records(
    current: Mapping[str, tuple[DnsRecord, ...]], zones: Sequence[NexusZone], silos: Iterable[str]
) -> Records:
    """`current` with the name of every silo leading to every one of these Nexuses."""
    addresses = sorted({ipaddress.ip_address(zone.external_ip) for zone in zones}, key=lambda ip: (ip.version, int(ip)))
    of_silo = tuple(address_record(str(ip)) for ip in addresses)
    return {**current, **{silo_name(silo): of_silo for silo in silos}}


def silo_name(silo: str) -> str:
    return f"{silo}.sys"


def host_name(zone_id: UUID) -> str:
    return f"{zone_id}.host"


def address_record(ip: str) -> A | AAAA:
    return AAAA(ip) if ":" in ip else A(ip)


def same_records(one: Mapping[str, tuple[DnsRecord, ...]], other: Mapping[str, tuple[DnsRecord, ...]]) -> bool:
    """Whether a resolver could not tell them apart: the order of a name's records means nothing."""
    return {name: set(of_name) for name, of_name in one.items()} == {n: set(of_name) for n, of_name in other.items()}
