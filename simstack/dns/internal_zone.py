"""The first contents of the internal zone: where the services of a stack are, as SRV and address records.

Pure. Upstream's names, with one deviation: `_nexus-lockstep._tcp` has the port of `_nexus._tcp`, because the internal
API carries both. Later generations are Nexus' to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from simstack.dns.config import AAAA, NS, SRV, A, DnsConfigZone, DnsRecord, Srv
from simstack.dns.names import APEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dropshot.address import SocketAddr

INTERNAL_ZONE_NAME = "control-plane.oxide.internal"

INTERNAL_DNS_ZONE_ID = UUID("2f397ddd-33a7-4bf3-bf34-9e49e0644b30")
EXTERNAL_DNS_ZONE_ID = UUID("11667688-63e8-40bc-9918-7fb07213de12")
DATABASE_ZONE_ID = UUID("4f42b9f0-237c-4b06-a56b-31426a57117a")
"""Zones that nothing but these records identifies: any fixed UUID serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusService:
    """`zone_id` is the Nexus id; `internal_address` is where its internal API listens."""

    zone_id: UUID
    internal_address: SocketAddr


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsServerService:
    http_address: SocketAddr
    dns_address: SocketAddr


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayService:
    """`sled_id` is that of the scrimlet beside the switch."""

    sled_id: UUID
    address: SocketAddr


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    nexuses: Sequence[NexusService]
    internal_dns: DnsServerService
    external_dns: DnsServerService
    gateways: Sequence[GatewayService]
    database: SocketAddr


def internal_zone(services: Services) -> DnsConfigZone:
    """The zone `control-plane.oxide.internal`. IPv4 addresses become A records, IPv6 ones AAAA."""
    hosts: list[tuple[str, SocketAddr, Sequence[str]]] = [
        *((f"{nexus.zone_id}.host", nexus.internal_address, ("nexus", "nexus-lockstep")) for nexus in services.nexuses),
        (f"{INTERNAL_DNS_ZONE_ID}.host", services.internal_dns.http_address, ("nameservice",)),
        (f"{EXTERNAL_DNS_ZONE_ID}.host", services.external_dns.http_address, ("external-dns",)),
        *((f"dendrite-{gateway.sled_id}.host", gateway.address, ("mgs",)) for gateway in services.gateways),
        (f"{DATABASE_ZONE_ID}.host", services.database, ("cockroach",)),
    ]
    records: dict[str, list[DnsRecord]] = {}
    for host, address, kinds in hosts:
        records.setdefault(host, []).append(_address_record(address))
        for kind in kinds:
            target = f"{host}.{INTERNAL_ZONE_NAME}"
            records.setdefault(f"_{kind}._tcp", []).append(SRV(Srv(prio=0, weight=0, port=address.port, target=target)))
    records["ns1"] = [_address_record(services.internal_dns.dns_address)]
    records[APEX] = [NS(f"ns1.{INTERNAL_ZONE_NAME}")]
    return DnsConfigZone(INTERNAL_ZONE_NAME, {name: tuple(of_name) for name, of_name in sorted(records.items())})


def _address_record(address: SocketAddr) -> A | AAAA:
    return AAAA(address.host) if address.is_ipv6 else A(address.host)
