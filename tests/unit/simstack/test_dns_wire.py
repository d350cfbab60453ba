"""Packets for the server: one test a row of the table in `simstack.dns.wire`."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest

from simstack.dns.config import AAAA, NS, SRV, A, DnsConfig, DnsConfigZone, DnsRecord, Srv
from simstack.dns.wire import MessageBuffer, Transport, framed, respond
from simstack.dns.zone import Catalog

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS: dict[str, tuple[DnsRecord, ...]] = {
    "@": (NS("ns1.example.test"),),
    "ns1": (AAAA("::1"),),
    "www": (A("127.0.0.3"), AAAA("::3"), A("127.0.0.1"), A("127.0.0.2")),
    "_nexus._tcp": (SRV(Srv(0, 0, 12221, "Host.example.test")),),
    "host": (AAAA("::1"), A("127.0.0.1")),
    "many": tuple(A(f"10.0.{number // 256}.{number % 256}") for number in range(1000)),
    "few": tuple(SRV(Srv(0, 0, number, f"host{number}.example.test")) for number in range(8)),
    **{f"host{number}": tuple(AAAA(f"fd00::{low:x}") for low in range(8)) for number in range(8)},
}
CATALOG = Catalog.build(DnsConfig(1, 7, NOW, NOW, (DnsConfigZone("example.test", RECORDS),)))


def ask(query: dns.message.Message | bytes, *, transport: Transport = Transport.UDP) -> dns.message.Message:
    wire = query if isinstance(query, bytes) else query.to_wire()
    answer = respond(wire, catalog=CATALOG, transport=transport)
    assert answer is not None
    return dns.message.from_wire(answer, one_rr_per_rrset=False)


def query(name: str, kind: str = "A", *, payload: int | None = None) -> dns.message.QueryMessage:
    return dns.message.make_query(name, kind, use_edns=payload is not None and 0, payload=payload or 1232, id=7)


def section(rrsets: list[dns.rrset.RRset]) -> list[str]:
    return [line for rrset in rrsets for line in rrset.to_text().splitlines()]


def test_an_answer_has_all_records_in_stored_order_with_ttl_0() -> None:
    asked = query("www.example.test")
    reply = ask(asked)
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.id == asked.id
    assert reply.question == asked.question
    assert dns.flags.to_text(reply.flags) == "QR AA RD"
    assert section(reply.answer) == [f"www.example.test. 0 IN A 127.0.0.{last}" for last in (3, 1, 2)]
    assert not reply.authority
    assert not reply.additional
    assert reply.edns == -1


def test_recursion_is_echoed_but_never_promised() -> None:
    asked = query("www.example.test")
    asked.flags &= ~dns.flags.RD
    assert dns.flags.to_text(ask(asked).flags) == "QR AA"


def test_the_owner_is_spelled_as_the_query_spells_it() -> None:
    reply = ask(query("WwW.eXample.Test"))
    assert section(reply.answer)[0] == "WwW.eXample.Test. 0 IN A 127.0.0.3"


def test_any_gets_every_type() -> None:
    reply = ask(query("www.example.test", "ANY"))
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.A, dns.rdatatype.AAAA]


def test_a_service_comes_with_the_addresses_of_its_host() -> None:
    reply = ask(query("_nexus._tcp.example.test", "SRV"))
    assert section(reply.answer) == ["_nexus._tcp.example.test. 0 IN SRV 0 0 12221 Host.example.test."]
    assert section(reply.additional) == ["Host.example.test. 0 IN AAAA ::1", "Host.example.test. 0 IN A 127.0.0.1"]


def test_soa() -> None:
    reply = ask(query("example.test", "SOA"))
    soa = "example.test. 0 IN SOA ns1.example.test. admin.example.test. 7 3600 600 1800 600"
    assert section(reply.answer) == [soa]


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("www.example.test", "SRV", dns.rcode.NOERROR),
        ("_tcp.example.test", "SRV", dns.rcode.NOERROR),
        ("example.test", "A", dns.rcode.NOERROR),
        ("nope.example.test", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_a_negative_answer_carries_the_soa(name: str, kind: str, rcode: dns.rcode.Rcode) -> None:
    reply = ask(query(name, kind))
    assert reply.rcode() == rcode
    assert reply.flags & dns.flags.AA
    assert not reply.answer
    assert [str(rrset.name) for rrset in reply.authority] == ["example.test."]
    assert reply.authority[0].rdtype == dns.rdatatype.SOA


def test_a_name_in_no_served_zone_is_a_failure_of_no_authority() -> None:
    reply = ask(query("example.org"))
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert not reply.flags & dns.flags.AA
    assert len(reply.question) == 1


def test_another_class_is_not_served() -> None:
    reply = ask(dns.message.make_query("www.example.test", "A", rdclass="CH"))
    assert reply.rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_there_are_no_zone_transfers(kind: str) -> None:
    assert ask(dns.message.make_query("example.test", kind)).rcode() == dns.rcode.NOTIMP


@pytest.mark.parametrize("opcode", [dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE, 15])
def test_other_opcodes_are_not_implemented(opcode: int) -> None:
    packet = bytearray(query("www.example.test").to_wire())
    packet[2] |= opcode << 3
    reply = respond(bytes(packet), catalog=CATALOG, transport=Transport.UDP)
    assert reply is not None
    assert reply[:2] == packet[:2]
    assert (reply[2] >> 3) & 15 == opcode
    assert reply[3] & 15 == dns.rcode.NOTIMP


@pytest.mark.parametrize("packet", [b"", b"\0" * 11, query("www.example.test").to_wire()[:11]])
def test_less_than_a_header_gets_no_answer(packet: bytes) -> None:
    assert respond(packet, catalog=CATALOG, transport=Transport.UDP) is None


def test_a_response_gets_no_answer() -> None:
    packet = dns.message.make_response(query("www.example.test")).to_wire()
    assert respond(packet, catalog=CATALOG, transport=Transport.UDP) is None


@pytest.mark.parametrize(
    "packet",
    [
        query("www.example.test").to_wire()[:-1],
        query("www.example.test").to_wire() + b"x",
        struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c" + b"\0\1\0\1",  # a name that points to itself
        struct.pack("!HHHHHH", 7, 0, 0, 0, 0, 65535),
    ],
)
def test_what_cannot_be_parsed_is_a_format_error(packet: bytes) -> None:
    reply = ask(packet)
    assert reply.rcode() == dns.rcode.FORMERR
    assert reply.id == int.from_bytes(packet[:2])


def test_no_question_is_a_failure() -> None:
    assert ask(struct.pack("!HHHHHH", 7, 0, 0, 0, 0, 0)).rcode() == dns.rcode.SERVFAIL


def test_several_questions_are_a_failure_and_not_echoed() -> None:
    asked = query("www.example.test")
    asked.question.append(
        dns.rrset.RRset(dns.name.from_text("host.example.test"), asked.question[0].rdclass, dns.rdatatype.A)
    )
    reply = ask(asked)
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert not reply.question


def test_edns_is_answered_with_edns() -> None:
    asked = dns.message.make_query("www.example.test", "A", use_edns=0, want_dnssec=True, payload=1232)
    reply = ask(asked)
    assert (reply.edns, reply.payload, reply.ednsflags) == (0, 4096, dns.flags.DO)


def test_an_unknown_edns_version_is_told_which_is_known() -> None:
    reply = ask(dns.message.make_query("www.example.test", "A", use_edns=1))
    assert reply.rcode() == dns.rcode.BADVERS
    assert reply.edns == 0
    assert not reply.answer


def test_unknown_edns_options_are_ignored() -> None:
    option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    reply = ask(dns.message.make_query("www.example.test", "A", use_edns=0, options=[option]))
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.options


@pytest.mark.parametrize(("payload", "limit"), [(None, 512), (100, 512), (1232, 1232), (65535, 4096)])
def test_what_does_not_fit_is_truncated_to_nothing(payload: int | None, limit: int) -> None:
    asked = query("many.example.test", payload=payload)
    wire = respond(asked.to_wire(), catalog=CATALOG, transport=Transport.UDP)
    assert wire is not None
    assert len(wire) <= limit
    reply = dns.message.from_wire(wire)
    assert reply.flags & dns.flags.TC
    assert reply.flags & dns.flags.AA
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.answer
    assert reply.edns == (-1 if payload is None else 0)


def test_tcp_has_room() -> None:
    reply = ask(query("many.example.test"), transport=Transport.TCP)
    assert not reply.flags & dns.flags.TC
    assert len(reply.answer[0]) == 1000


def test_additional_records_that_do_not_fit_are_left_out_without_a_word() -> None:
    small, large = ask(query("few.example.test", "SRV")), ask(query("few.example.test", "SRV", payload=4096))
    for reply in (small, large):
        assert not reply.flags & dns.flags.TC
        assert len(reply.answer[0]) == 8
    assert not small.additional
    assert [len(rrset) for rrset in large.additional] == [8] * 8


def test_a_stream_is_taken_apart_however_it_arrives() -> None:
    stream = framed(b"first") + framed(b"") + framed(b"x" * 300)
    for size in (1, 2, 3, len(stream)):
        buffer = MessageBuffer()
        messages = []
        for start in range(0, len(stream), size):
            buffer.receive(stream[start : start + size])
            while (message := buffer.next_message()) is not None:
                messages.append(message)
        assert messages == [b"first", b"", b"x" * 300]
