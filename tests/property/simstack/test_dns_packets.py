"""Whatever a client sends: the server does not fall over, keeps to the size it was given, and answers in DNS."""

from __future__ import annotations

from datetime import UTC, datetime

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
from hypothesis import example, given
from hypothesis import strategies as st

from simstack.dns.config import AAAA, NS, SRV, A, DnsConfig, DnsConfigZone, DnsRecord, Srv
from simstack.dns.names import parse_name
from simstack.dns.wire import MessageBuffer, Transport, framed, respond
from simstack.dns.zone import Answer, Catalog, Failure, NoData, NoSuchName

NOW = datetime(2026, 1, 1, tzinfo=UTC)

labels = st.sampled_from(["a", "B", "host", "_tcp", "x" * 63, "ns1"])
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
targets = st.builds("{}.{}".format, names, st.sampled_from(["test", "sub.test", "elsewhere"]))
uint16 = st.integers(0, 65535)
records: st.SearchStrategy[DnsRecord] = st.one_of(
    st.ip_addresses(v=4).map(lambda address: A(str(address))),
    st.ip_addresses(v=6).map(lambda address: AAAA(str(address))),
    st.builds(lambda *fields: SRV(Srv(*fields)), uint16, uint16, uint16, targets),
    targets.map(NS),
)
contents = st.dictionaries(names | st.just("@"), st.lists(records, max_size=60).map(tuple), max_size=8).map(
    lambda by_name: {name.lower(): of_name for name, of_name in by_name.items()}
)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    apexes = draw(st.lists(st.sampled_from(["test", "Sub.test", "b.test"]), unique=True))
    zones = tuple(DnsConfigZone(apex, draw(contents)) for apex in apexes)
    return Catalog.build(DnsConfig(1, draw(st.integers(0, 2**32 - 1)), NOW, NOW, zones))


kinds = st.sampled_from(["A", "AAAA", "SRV", "NS", "SOA", "ANY", "TXT", "TYPE65280", "NULL", "OPT"])
asked_names = st.builds(
    "{}.{}".format, names, st.sampled_from(["test", "sub.TEST", "b.test", "org"])
) | st.sampled_from(["test", "Sub.test", "."])


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    message = dns.message.make_query(
        draw(asked_names),
        draw(kinds),
        use_edns=draw(st.sampled_from([False, 0, 1])),
        want_dnssec=draw(st.booleans()),
        payload=draw(st.integers(0, 65535)),
    )
    return message.to_wire()


@st.composite
def damaged_queries(draw: st.DrawFn) -> bytes:
    packet = bytearray(draw(queries()))
    for _ in range(draw(st.integers(1, 4))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, len(packet)))]) + draw(st.binary(max_size=8))


def allowed_bytes(packet: bytes, transport: Transport) -> int:
    """What the client takes, worked out apart from the code under test."""
    if transport is Transport.TCP:
        return 65535
    try:
        return max(512, dns.message.from_wire(packet).payload)
    except dns.exception.DNSException:
        return 512


@example(packet=b"\0" * 12, catalog=Catalog({}), transport=Transport.UDP)
@given(packet=st.binary(max_size=600) | queries() | damaged_queries(), catalog=catalogs(), transport=...)
def test_any_packet_gets_a_fitting_answer_or_none(packet: bytes, catalog: Catalog, transport: Transport) -> None:
    answer = respond(packet, catalog=catalog, transport=transport)
    if answer is None:
        assert len(packet) < 12 or packet[2] & 0x80
        return
    assert len(answer) <= allowed_bytes(packet, transport)
    assert answer[:2] == packet[:2]
    assert answer[2] & 0x80
    if not answer[2] & 0x78:
        reply = dns.message.from_wire(answer)
        assert all(rrset.ttl == 0 for rrset in (*reply.answer, *reply.authority, *reply.additional))


@given(name=asked_names, kind=kinds, catalog=catalogs(), transport=...)
def test_a_packet_says_what_the_catalog_says(name: str, kind: str, catalog: Catalog, transport: Transport) -> None:
    query = dns.message.make_query(name, kind, payload=4096)
    wire = respond(query.to_wire(), catalog=catalog, transport=transport)
    assert wire is not None
    reply = dns.message.from_wire(wire)
    assert query.is_response(reply)
    truncated = bool(reply.flags & dns.flags.TC)
    assert transport is Transport.UDP or not truncated
    match catalog.lookup(parse_name(name), kind):
        case Answer(records):
            assert reply.rcode() == dns.rcode.NOERROR
            assert sum(map(len, reply.answer)) == (0 if truncated else len({rdata_key(record) for record in records}))
        case NoData():
            assert reply.rcode() == dns.rcode.NOERROR
            assert not reply.answer
        case NoSuchName():
            assert reply.rcode() == dns.rcode.NXDOMAIN
        case Failure():
            assert reply.rcode() == dns.rcode.SERVFAIL
            assert not reply.flags & dns.flags.AA


def rdata_key(record: object) -> str:
    """Records that differ only in the case of a name are one record on the wire."""
    return repr(record).lower()


@given(messages=st.lists(st.binary(max_size=400), max_size=6), data=st.data())
def test_a_stream_is_taken_apart_however_it_arrives(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(framed, messages))
    buffer = MessageBuffer()
    received: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer.receive(stream[:size])
        stream = stream[size:]
        while (message := buffer.next_message()) is not None:
            received.append(message)
    assert received == messages


@given(text=st.text(max_size=300))
def test_a_name_that_is_taken_can_be_sent(text: str) -> None:
    try:
        name = parse_name(text)
    except ValueError:
        return
    assert dns.name.Name((*name, b"")).to_wire()
