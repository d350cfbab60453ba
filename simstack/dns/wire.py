"""DNS packets in, DNS packets out. No I/O: `respond()` for one query, `MessageBuffer` for what TCP delivers.

What a query gets, where upstream's answers are plain (no EDNS, no truncation, no authority section) and ours are not:

    shorter than a header, or itself a response   nothing at all: answering a response could loop for ever
    any opcode but QUERY; zone transfers          NOTIMP
    not parseable                                 FORMERR (upstream: nothing, and the client waits for its timeout)
    EDNS version above 0                          BADVERS
    no question, or several                       SERVFAIL, as upstream
    another class than IN, or in no served zone   SERVFAIL without AA, as upstream: resolvers try another server
    everything else                               NOERROR or NXDOMAIN, AA set, SOA in the authority section of a
                                                  negative answer, TTL 0

A UDP answer that does not fit in what the client says it can take (512 bytes without EDNS) is sent empty with TC set,
and the client asks again by TCP. Additional records that do not fit are left out, without TC.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.renderer
from dns.rdtypes.ANY.NS import NS as NsRdata
from dns.rdtypes.ANY.SOA import SOA as SoaRdata
from dns.rdtypes.IN.A import A as ARdata
from dns.rdtypes.IN.AAAA import AAAA as AaaaRdata
from dns.rdtypes.IN.SRV import SRV as SrvRdata

from simstack.dns.config import AAAA, NS, SRV, A, DnsRecord
from simstack.dns.names import Name, parse_name
from simstack.dns.zone import Answer, Catalog, Failure, Lookup, NoData, NoSuchName, Soa

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_UDP_PAYLOAD_BYTES = 4096
"""The largest query taken and answer sent by UDP. More would be fragmented on most real networks."""

MIN_UDP_PAYLOAD_BYTES = 512
"""What every client takes (RFC 1035); a smaller EDNS size means this (RFC 6891)."""

MAX_TCP_MESSAGE_BYTES = 65535

_HEADER_BYTES = 12
_OPT_BYTES = 11
_OPCODE_MASK = 0x7800
_TTL_S = 0


class Transport(enum.Enum):
    UDP = "udp"
    TCP = "tcp"


def respond(packet: bytes, *, catalog: Catalog, transport: Transport) -> bytes | None:
    """The answer to one query, or None if it must get none."""
    if len(packet) < _HEADER_BYTES:
        return None
    (flags,) = struct.unpack_from("!H", packet, 2)
    if flags & dns.flags.QR:
        return None
    if flags & _OPCODE_MASK:
        return bare_reply(packet, dns.rcode.NOTIMP)
    try:
        query = dns.message.from_wire(packet)
    except dns.exception.DNSException:
        return bare_reply(packet, dns.rcode.FORMERR)
    return _render(query, _sections(_decide(query, catalog)), max_bytes=_max_bytes(query, transport))


def bare_reply(query: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """A header alone, where nothing of the query can be echoed. It must have at least a header itself."""
    ident, query_flags = struct.unpack_from("!HH", query)
    flags = dns.flags.QR | (query_flags & (_OPCODE_MASK | dns.flags.RD)) | rcode
    return struct.pack("!HHHHHH", ident, flags, 0, 0, 0, 0)


class MessageBuffer:
    """Takes apart a TCP stream: each message is preceded by its length in two bytes."""

    def __init__(self) -> None:
        self._received = bytearray()

    def receive(self, data: bytes) -> None:
        self._received += data

    def next_message(self) -> bytes | None:
        """The next whole message, or None until more arrives."""
        if len(self._received) < 2:
            return None
        end = 2 + int.from_bytes(self._received[:2])
        if len(self._received) < end:
            return None
        message = bytes(self._received[2:end])
        del self._received[:end]
        return message


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def _max_bytes(query: dns.message.Message, transport: Transport) -> int:
    if transport is Transport.TCP:
        return MAX_TCP_MESSAGE_BYTES
    return min(max(query.payload, MIN_UDP_PAYLOAD_BYTES), MAX_UDP_PAYLOAD_BYTES)


def _decide(query: dns.message.Message, catalog: Catalog) -> Lookup | dns.rcode.Rcode:
    if query.edns > 0:
        return dns.rcode.BADVERS
    if len(query.question) != 1:
        return dns.rcode.SERVFAIL
    question = query.question[0]
    if question.rdclass not in (dns.rdataclass.IN, dns.rdataclass.ANY):
        return dns.rcode.SERVFAIL
    if question.rdtype in (dns.rdatatype.AXFR, dns.rdatatype.IXFR):
        return dns.rcode.NOTIMP
    return catalog.lookup(question.name.labels[:-1], dns.rdatatype.to_text(question.rdtype))


@dataclass(frozen=True, slots=True)
class _Sections:
    """What is sent beside the question and the OPT record."""

    rcode: dns.rcode.Rcode
    authoritative: bool = False
    answer: Iterable[dns.rdataset.Rdataset] = ()
    authority: tuple[dns.name.Name, dns.rdataset.Rdataset] | None = None
    additional: Iterable[tuple[dns.name.Name, Iterable[dns.rdataset.Rdataset]]] = ()


def _sections(result: Lookup | dns.rcode.Rcode) -> _Sections:
    match result:
        case Answer(records, additional):
            return _Sections(
                dns.rcode.NOERROR,
                authoritative=True,
                answer=_rdatasets(records),
                additional=((_name(target), _rdatasets(found)) for target, found in additional),
            )
        case NoData(apex, soa):
            return _Sections(dns.rcode.NOERROR, authoritative=True, authority=_authority(apex, soa))
        case NoSuchName(apex, soa):
            return _Sections(dns.rcode.NXDOMAIN, authoritative=True, authority=_authority(apex, soa))
        case Failure():
            return _Sections(dns.rcode.SERVFAIL)
        case _:
            return _Sections(result)


def _authority(apex: Name, soa: Soa | None) -> tuple[dns.name.Name, dns.rdataset.Rdataset] | None:
    return (_name(apex), _rdatasets((soa,))[0]) if soa else None


def _render(query: dns.message.Message, sections: _Sections, *, max_bytes: int) -> bytes:
    rcode_flags, edns_flags = dns.rcode.to_flags(sections.rcode)
    flags = dns.flags.QR | (query.flags & dns.flags.RD) | rcode_flags
    if sections.authoritative:
        flags |= dns.flags.AA
    has_edns = query.edns >= 0
    record_bytes = max_bytes - _OPT_BYTES if has_edns else max_bytes
    renderer = _with_question(query, flags, record_bytes)
    try:
        _add_required(renderer, query, sections)
    except dns.exception.TooBig:
        renderer = _with_question(query, flags | dns.flags.TC, record_bytes)
    else:
        _add_what_fits(renderer, sections.additional)
    if has_edns:
        renderer.max_size = max_bytes
        renderer.add_edns(0, edns_flags | (query.ednsflags & dns.flags.DO), MAX_UDP_PAYLOAD_BYTES)
    renderer.write_header()
    wire: bytes = renderer.get_wire()
    return wire


def _with_question(query: dns.message.Message, flags: int, max_bytes: int) -> dns.renderer.Renderer:
    renderer = dns.renderer.Renderer(query.id, flags, max_bytes)
    if len(query.question) == 1:  # several get an error, and echoing them could need more than the client takes
        question = query.question[0]
        renderer.add_question(question.name, question.rdtype, question.rdclass)
    return renderer


def _add_required(renderer: dns.renderer.Renderer, query: dns.message.Message, sections: _Sections) -> None:
    for rdataset in sections.answer:
        # The owner is spelled as the query spells it.
        renderer.add_rdataset(dns.renderer.ANSWER, query.question[0].name, rdataset, want_shuffle=False)
    if sections.authority:
        renderer.add_rdataset(dns.renderer.AUTHORITY, *sections.authority)


def _add_what_fits(
    renderer: dns.renderer.Renderer, additional: Iterable[tuple[dns.name.Name, Iterable[dns.rdataset.Rdataset]]]
) -> None:
    try:
        for name, rdatasets in additional:
            for rdataset in rdatasets:
                renderer.add_rdataset(dns.renderer.ADDITIONAL, name, rdataset, want_shuffle=False)
    except dns.exception.TooBig:
        return


@lru_cache(maxsize=1024)
def _rdatasets(records: tuple[DnsRecord | Soa, ...]) -> tuple[dns.rdataset.Rdataset, ...]:
    """The records by type, types and records in stored order."""
    by_type: dict[dns.rdatatype.RdataType, dns.rdataset.Rdataset] = {}
    for record in records:
        rdata = _rdata(record)
        rdataset = by_type.get(rdata.rdtype)
        if rdataset is None:
            rdataset = by_type[rdata.rdtype] = dns.rdataset.Rdataset(rdata.rdclass, rdata.rdtype, ttl=_TTL_S)
        rdataset.add(rdata)
    return tuple(by_type.values())


def _rdata(record: DnsRecord | Soa) -> dns.rdata.Rdata:
    internet = dns.rdataclass.IN
    match record:
        case A(data):
            return ARdata(internet, dns.rdatatype.A, data)
        case AAAA(data):
            return AaaaRdata(internet, dns.rdatatype.AAAA, data)
        case SRV(data):
            target = _name(parse_name(data.target))
            return SrvRdata(internet, dns.rdatatype.SRV, data.prio, data.weight, data.port, target)
        case NS(data):
            return NsRdata(internet, dns.rdatatype.NS, _name(parse_name(data)))
        case Soa():
            return SoaRdata(
                internet,
                dns.rdatatype.SOA,
                _name(record.mname),
                _name(record.rname),
                record.serial,
                record.refresh,
                record.retry,
                record.expire,
                record.minimum,
            )


def _name(name: Name) -> dns.name.Name:
    return dns.name.Name((*name, b""))
