"""What a catalog says of a name: every row of the lookup table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from simstack.dns.config import AAAA, NS, SRV, A, DnsConfig, DnsConfigZone, DnsRecord, Srv
from simstack.dns.names import Name, parse_name
from simstack.dns.zone import Answer, Catalog, Failure, InvalidZone, NoData, NoSuchName, Soa

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c.host"
ZONE: dict[str, tuple[DnsRecord, ...]] = {
    "@": (NS("ns2.example.test"), NS("ns1.example.test")),
    "ns1": (AAAA("::1"),),
    "_nexus._tcp": (SRV(Srv(0, 0, 12221, f"{HOST}.example.test")), SRV(Srv(0, 0, 12223, "Second.Host.example.test"))),
    HOST: (AAAA("::1"), A("127.0.0.1")),
    "second.host": (AAAA("::2"),),
    "MixedCase": (A("127.0.0.2"),),
    "a.b.c": (A("127.0.0.3"),),
    "lost": (SRV(Srv(0, 0, 1, "elsewhere.invalid")), SRV(Srv(0, 0, 2, "gone.example.test"))),
    "self": (SRV(Srv(0, 0, 1, "self.example.test")), A("127.0.0.4")),
    "silo.sys.example.test": (A("127.0.0.5"),),
}


def catalog(*zones: tuple[str, dict[str, tuple[DnsRecord, ...]]], serial: int = 7) -> Catalog:
    return Catalog.build(DnsConfig(1, serial, NOW, NOW, tuple(DnsConfigZone(name, records) for name, records in zones)))


EXAMPLE = catalog(("example.test", ZONE))
APEX: Name = (b"example", b"test")
SOA = Soa(mname=(b"ns1", b"example", b"test"), rname=(b"admin", b"example", b"test"), serial=7)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.b.c.example.test", "A", Answer((A("127.0.0.3"),))),
        ("A.B.C.EXAMPLE.test", "A", Answer((A("127.0.0.3"),))),
        ("mixedcase.example.test", "A", Answer((A("127.0.0.2"),))),
        (f"{HOST}.example.test", "ANY", Answer((AAAA("::1"), A("127.0.0.1")))),
        (f"{HOST}.example.test", "A", Answer((A("127.0.0.1"),))),
        ("silo.sys.example.test.example.test", "A", Answer((A("127.0.0.5"),))),
        ("silo.sys.example.test", "A", NoSuchName(APEX, SOA)),
        ("example.test", "SOA", Answer((SOA,))),
        ("example.test", "A", NoData(APEX, SOA)),
        ("a.b.c.example.test", "AAAA", NoData(APEX, SOA)),
        ("a.b.c.example.test", "SOA", NoData(APEX, SOA)),
        ("a.b.c.example.test", "TXT", NoData(APEX, SOA)),
        ("_tcp.example.test", "SRV", NoData(APEX, SOA)),
        ("b.c.example.test", "ANY", NoData(APEX, SOA)),
        ("c.example.test", "A", NoData(APEX, SOA)),
        ("x.c.example.test", "A", NoSuchName(APEX, SOA)),
        ("x.a.b.c.example.test", "A", NoSuchName(APEX, SOA)),
        ("@.example.test", "NS", NoSuchName(APEX, SOA)),
    ],
)
def test_lookup_in_a_served_zone(name: str, kind: str, expected: object) -> None:
    assert EXAMPLE.lookup(parse_name(name), kind) == expected


@pytest.mark.parametrize("name", ["test", "example.org", "notexample.test", "."])
def test_a_name_outside_every_zone_is_a_failure(name: str) -> None:
    assert isinstance(EXAMPLE.lookup(parse_name(name), "A"), Failure)


def test_an_answer_comes_with_the_records_of_its_targets() -> None:
    answer = EXAMPLE.lookup(parse_name("_nexus._tcp.example.test"), "SRV")
    assert isinstance(answer, Answer)
    assert answer.additional == (
        (parse_name(f"{HOST}.example.test"), (AAAA("::1"), A("127.0.0.1"))),
        ((b"Second", b"Host", b"example", b"test"), (AAAA("::2"),)),
    )


def test_a_name_server_comes_with_its_address_as_far_as_it_is_known() -> None:
    answer = EXAMPLE.lookup(APEX, "NS")
    assert isinstance(answer, Answer)
    assert answer.records == (NS("ns2.example.test"), NS("ns1.example.test"))
    assert answer.additional == (((b"ns1", b"example", b"test"), (AAAA("::1"),)),)


@pytest.mark.parametrize("name", ["lost", "self"])
def test_targets_that_are_not_served_or_already_answered_add_nothing(name: str) -> None:
    answer = EXAMPLE.lookup((name.encode(), *APEX), "SRV")
    assert isinstance(answer, Answer)
    assert answer.additional == ()


def test_a_target_of_several_records_is_added_once() -> None:
    pair = catalog(("t", {"s": (SRV(Srv(0, 0, 1, "h.t")), SRV(Srv(0, 0, 2, "H.t"))), "h": (A("127.0.0.1"),)}))
    answer = pair.lookup((b"s", b"t"), "SRV")
    assert isinstance(answer, Answer)
    assert len(answer.additional) == 1


def test_without_a_name_server_there_is_no_soa() -> None:
    bare = catalog(("test", {"www": (A("127.0.0.1"),)}))
    assert isinstance(bare.lookup((b"test",), "SOA"), Failure)
    assert bare.lookup((b"test",), "A") == NoData((b"test",), None)
    assert bare.lookup((b"nope", b"test"), "A") == NoSuchName((b"test",), None)


@pytest.mark.parametrize("inner_first", [True, False])
def test_the_most_specific_zone_wins_whatever_the_order(inner_first: bool) -> None:
    outer: dict[str, tuple[DnsRecord, ...]] = {"www.inner": (A("127.0.0.1"),), "www": (A("127.0.0.2"),)}
    zones: list[tuple[str, dict[str, tuple[DnsRecord, ...]]]] = [("inner.test", {}), ("test", outer)]
    nested = catalog(*(zones if inner_first else reversed(zones)))
    assert nested.lookup(parse_name("www.inner.test"), "A") == NoSuchName((b"inner", b"test"), None)
    assert nested.lookup(parse_name("www.test"), "A") == Answer((A("127.0.0.2"),))


@pytest.mark.parametrize(
    ("zone_name", "records", "complaint"),
    [
        ("", {}, "zone name '': empty label"),
        (".", {}, "zone name '.': the root cannot be served"),
        ("a..b", {}, "empty label"),
        ("x" * 64, {}, "a label of 64 bytes"),
        (".".join(["x" * 63] * 4), {}, "bytes long; 255 is the most"),
        ("spa ce", {}, "only printable ASCII"),
        ("zoné", {}, "only printable ASCII"),
        ("test", {"": (A("127.0.0.1"),)}, "name '': empty label"),
        ("test", {"www.": (A("127.0.0.1"),)}, "relative to their zone"),
        ("test", {"a\\.b": (A("127.0.0.1"),)}, "only printable ASCII"),
        ("test", {"WWW": (A("127.0.0.1"),), "www": (A("127.0.0.1"),)}, "another spelling of the same name"),
        ("test", {"s": (SRV(Srv(0, 0, 1, "bad..name")),)}, "target 'bad..name': empty label"),
        ("test", {"@": (NS(""),)}, "target '': empty label"),
        ("test", {"many": (AAAA("::1"),) * 2143}, "do not fit in a DNS message"),
        (".".join(["x" * 62] * 4), {}, "bytes long; 255 is the most"),
    ],
)
def test_a_zone_that_cannot_be_served_is_refused(
    zone_name: str, records: dict[str, tuple[DnsRecord, ...]], complaint: str
) -> None:
    with pytest.raises(InvalidZone) as caught:
        catalog((zone_name, records))
    assert complaint in str(caught.value)


def test_the_same_zone_twice_is_refused() -> None:
    with pytest.raises(InvalidZone, match="configured twice"):
        catalog(("test", {}), ("TEST", {}))


def test_too_many_zones_are_refused() -> None:
    with pytest.raises(InvalidZone, match="1000 is the most"):
        catalog(*((f"z{number}", {}) for number in range(1001)))
