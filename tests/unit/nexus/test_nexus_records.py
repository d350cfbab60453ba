"""DNS records that follow from the Nexuses in service."""

from __future__ import annotations

from uuid import UUID

from nexus.dns_types import AAAA, NS, SRV, A, DnsRecord, Srv
from nexus.nexus_records import external_records, internal_records, same_records
from nexus.rack import NexusZone

ZONE = "control-plane.oxide.internal"
SLED = UUID(int=99)
FIRST = NexusZone(UUID(int=1), SLED, "[::1]:12221", "127.0.0.1")
SECOND = NexusZone(UUID(int=2), SLED, "127.0.0.1:12223", "100::1")

OTHERS: dict[str, tuple[DnsRecord, ...]] = {
    "@": (NS(f"ns1.{ZONE}"),),
    "ns1": (AAAA("::1"),),
    f"{UUID(int=7)}.host": (AAAA("::1"),),
    "_mgs._tcp": (SRV(Srv(0, 0, 5, f"{UUID(int=7)}.host.{ZONE}")),),
}


def test_internal_records_of_two_nexuses() -> None:
    records = internal_records(OTHERS, [SECOND, FIRST], ZONE)
    srv = (
        SRV(Srv(0, 0, 12221, f"{FIRST.id}.host.{ZONE}")),
        SRV(Srv(0, 0, 12223, f"{SECOND.id}.host.{ZONE}")),
    )
    assert records == {
        **OTHERS,
        "_nexus._tcp": srv,
        "_nexus-lockstep._tcp": srv,
        f"{FIRST.id}.host": (AAAA("::1"),),
        f"{SECOND.id}.host": (A("127.0.0.1"),),
    }
    assert internal_records(records, [FIRST, SECOND], ZONE) == records


def test_a_nexus_that_is_out_of_service_leaves_no_record() -> None:
    both = internal_records(OTHERS, [FIRST, SECOND], ZONE)
    assert internal_records(both, [FIRST], ZONE) == internal_records(OTHERS, [FIRST], ZONE)
    assert internal_records(both, [], ZONE) == OTHERS


def test_external_records_have_ipv4_first_and_no_address_twice() -> None:
    third = NexusZone(UUID(int=3), SLED, "[::1]:1", "127.0.0.1")
    addresses = (A("127.0.0.1"), AAAA("100::1"))
    assert external_records({"@": (NS("ns1.x"),)}, [SECOND, FIRST, third], ["a", "b"]) == {
        "@": (NS("ns1.x"),),
        "a.sys": addresses,
        "b.sys": addresses,
    }


def test_the_order_of_records_is_no_difference() -> None:
    one: dict[str, tuple[DnsRecord, ...]] = {"a": (A("127.0.0.1"), AAAA("::1"))}
    assert same_records(one, {"a": (AAAA("::1"), A("127.0.0.1"))})
    assert not same_records(one, {"a": (A("127.0.0.1"),)})
    assert not same_records(one, {"b": one["a"]})
