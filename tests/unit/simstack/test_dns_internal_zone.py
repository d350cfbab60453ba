"""The first contents of the internal zone."""

from __future__ import annotations

from uuid import UUID

import pytest

from dropshot.address import SocketAddr
from simstack.dns.config import AAAA, NS, SRV, A, Srv
from simstack.dns.internal_zone import (
    DATABASE_ZONE_ID,
    EXTERNAL_DNS_ZONE_ID,
    INTERNAL_DNS_ZONE_ID,
    DnsServerService,
    GatewayService,
    NexusService,
    Services,
    internal_zone,
)

NEXUS = UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c")
SECOND_NEXUS = UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f")
SLED = UUID("b6d65341-167c-41df-9b5c-41cded99c229")
OTHER_SLED = UUID("039be560-54cc-49e3-88df-1a29dadbf913")
ZONE = "control-plane.oxide.internal"


def services(host: str) -> Services:
    return Services(
        nexuses=[
            NexusService(zone_id=NEXUS, internal_address=SocketAddr(host, 12221)),
            NexusService(zone_id=SECOND_NEXUS, internal_address=SocketAddr(host, 12223)),
        ],
        internal_dns=DnsServerService(http_address=SocketAddr(host, 1), dns_address=SocketAddr(host, 2)),
        external_dns=DnsServerService(http_address=SocketAddr(host, 3), dns_address=SocketAddr(host, 4)),
        gateways=[
            GatewayService(sled_id=SLED, address=SocketAddr(host, 5)),
            GatewayService(sled_id=OTHER_SLED, address=SocketAddr(host, 6)),
        ],
        database=SocketAddr(host, 7),
    )


@pytest.mark.parametrize(("host", "address"), [("::1", AAAA("::1")), ("127.0.0.1", A("127.0.0.1"))])
def test_every_service_is_listed_with_its_host(host: str, address: A | AAAA) -> None:
    zone = internal_zone(services(host))

    def srv(port: int, target: str) -> SRV:
        return SRV(Srv(prio=0, weight=0, port=port, target=f"{target}.{ZONE}"))

    nexuses = (srv(12221, f"{NEXUS}.host"), srv(12223, f"{SECOND_NEXUS}.host"))
    assert zone.zone_name == ZONE
    assert zone.records == {
        "@": (NS(f"ns1.{ZONE}"),),
        "ns1": (address,),
        "_nexus._tcp": nexuses,
        "_nexus-lockstep._tcp": nexuses,
        "_nameservice._tcp": (srv(1, f"{INTERNAL_DNS_ZONE_ID}.host"),),
        "_external-dns._tcp": (srv(3, f"{EXTERNAL_DNS_ZONE_ID}.host"),),
        "_mgs._tcp": (srv(5, f"dendrite-{SLED}.host"), srv(6, f"dendrite-{OTHER_SLED}.host")),
        "_cockroach._tcp": (srv(7, f"{DATABASE_ZONE_ID}.host"),),
        **{
            f"{host_name}.host": (address,)
            for host_name in (
                NEXUS,
                SECOND_NEXUS,
                INTERNAL_DNS_ZONE_ID,
                EXTERNAL_DNS_ZONE_ID,
                f"dendrite-{SLED}",
                f"dendrite-{OTHER_SLED}",
                DATABASE_ZONE_ID,
            )
        },
    }
