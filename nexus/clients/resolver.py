"""DNS for clients: queries to bytes, bytes to answers, and how a service name becomes addresses. No I/O.

Who sends and receives is elsewhere: omdb does it on plain sockets (`omdb/dns_lookup.py`), Nexus on trio. Both drive
`resolve_service`, a generator that yields each `Question` it wants asked and is sent the `Answer`:

    steps = resolve_service("_nexus._tcp.control-plane.oxide.internal")
    question = next(steps)
    try:
        while True:
            question = steps.send(ask(question))       # one round trip
    except StopIteration as done:
        addresses = done.value

A packet is hostile until decoded: reads are bounded by the packet, a compression pointer must point backwards, and
whatever does not fit raises `MalformedAnswer`. Transport rules for callers: send `encode_query` over UDP, drop packets
for which `answers_query` is false and go on waiting; if the answer is `truncated`, ask again over TCP, where a
packet is preceded by its length in two bytes.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from dropshot.address import SocketAddr

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

INTERNAL_ZONE = "control-plane.oxide.internal"

MAX_UDP_PAYLOAD = 1232
"""The size we offer by EDNS: fits one IPv6 packet on any path, so an answer is never fragmented."""

_HEADER = struct.Struct("!6H")
_RECORD_HEAD = struct.Struct("!HHIH")
_QR, _TC, _RD, _RCODE = 0x8000, 0x0200, 0x0100, 0x000F
_IN = 1
_OPT = 41
_MAX_NAME_BYTES = 255
_MAX_ALIASES = 8


class ResolverError(Exception):
    """A name could not be resolved. `str()` says which and why."""


class MalformedAnswer(ResolverError):
    """The packet is not a DNS answer."""


class NameNotFound(ResolverError):
    """The server says that the name, or a record of the type asked for, does not exist."""


class ServerRefused(ResolverError):
    """The server answered with an error code, such as SERVFAIL for a zone that it does not serve."""


class RecordType(IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    AAAA = 28
    SRV = 33


class ResponseCode(IntEnum):
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    type: RecordType

    def __str__(self) -> str:
        return f"{self.type.name} {self.name}"


@dataclass(frozen=True, slots=True)
class Address:
    """An A or AAAA record; `ip` is the canonical text."""

    name: str
    ip: str


@dataclass(frozen=True, slots=True)
class Srv:
    name: str
    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class NameServer:
    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Alias:
    """A CNAME record."""

    name: str
    target: str


Record: TypeAlias = Address | Srv | NameServer | Alias

_TYPES: dict[RecordType, type[Record]] = {
    RecordType.A: Address,
    RecordType.NS: NameServer,
    RecordType.CNAME: Alias,
    RecordType.AAAA: Address,
    RecordType.SRV: Srv,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded answer. Names are as the server spelled them, less the final dot; other record types are left out."""

    question: Question
    code: int
    truncated: bool
    answers: tuple[Record, ...]
    additionals: tuple[Record, ...]

    def records(self) -> tuple[Record, ...]:
        """The records that answer the question, in the server's order, aliases followed.

        Raises NameNotFound if there is none and ServerRefused if the server reported an error.
        """
        if self.code == ResponseCode.NXDOMAIN:
            raise NameNotFound(f"no such name in DNS: {self.question.name}")
        if self.code != ResponseCode.NOERROR:
            raise ServerRefused(f"the DNS server answered {_code_name(self.code)} to {self.question}")
        found = _matching(self.answers, self.question)
        if not found:
            raise NameNotFound(f"no {self.question.type.name} record in DNS: {self.question.name}")
        return found


def encode_query(question: Question, *, query_id: int) -> bytes:
    """The packet that asks `question`. Raises ResolverError if the name cannot be put in a packet."""
    opt = b"\0" + _RECORD_HEAD.pack(_OPT, MAX_UDP_PAYLOAD, 0, 0)
    head = _HEADER.pack(query_id, _RD, 1, 0, 0, 1)
    return head + _encode_name(question.name) + struct.pack("!HH", question.type, _IN) + opt


def answers_query(packet: bytes, question: Question, *, query_id: int) -> bool:
    """Whether this packet claims to answer this very query: a late or forged one does not."""
    if len(packet) < _HEADER.size:
        return False
    packet_id, flags, questions, *_ = _HEADER.unpack_from(packet)
    if packet_id != query_id or not flags & _QR:
        return False
    if questions == 0:
        return True  # some servers leave the question out of an error
    try:
        name, offset = _decode_name(packet, _HEADER.size)
        qtype, qclass = _unpack(struct.Struct("!HH"), packet, offset)
    except MalformedAnswer:
        return False
    return questions == 1 and _same(name, question.name) and (qtype, qclass) == (question.type, _IN)


def decode_answer(packet: bytes, question: Question) -> Answer:
    """Read a packet for which `answers_query` was true. Raises MalformedAnswer.

    Of a truncated packet only the header is looked at: what it does hold may end in the middle of a record.
    """
    _, flags, n_questions, n_answers, n_authority, n_additional = _unpack(_HEADER, packet, 0)
    code = flags & _RCODE
    if flags & _TC:
        return Answer(question, code, truncated=True, answers=(), additionals=())
    offset = _HEADER.size
    for _ in range(n_questions):
        _, offset = _decode_name(packet, offset)
        offset += 4
    answers, offset = _decode_records(packet, offset, n_answers)
    _, offset = _decode_records(packet, offset, n_authority)
    additionals, _ = _decode_records(packet, offset, n_additional)
    return Answer(question, code, truncated=False, answers=answers, additionals=additionals)


def resolve_service(name: str) -> Generator[Question, Answer, list[SocketAddr]]:
    """Every address behind an SRV name, best priority first and otherwise in the server's order, none twice.

    Addresses that came along with the SRV answer are used; the rest cost a question each. A target without any
    address is passed over while another has one. Raises ResolverError.
    """
    answer = yield Question(name, RecordType.SRV)
    # A target of "." says that the service is decidedly not available (RFC 2782).
    services = [record for record in answer.records() if isinstance(record, Srv) and record.target]
    services.sort(key=lambda service: service.priority)
    addresses: list[SocketAddr] = []
    for service in services:
        hosts = [r.ip for r in answer.additionals if isinstance(r, Address) and _same(r.name, service.target)]
        if not hosts:
            hosts = yield from _resolve_host(service.target)
        addresses += [SocketAddr(host, service.port) for host in hosts]
    if not addresses:
        targets = ", ".join(service.target for service in services)
        raise NameNotFound(f"no address in DNS for any target of {name} ({targets})")
    return list(dict.fromkeys(addresses))


def resolve_instance(name: str, instance: str) -> Generator[Question, Answer, list[SocketAddr]]:
    """As `resolve_service`, of those targets only that have `instance` in their name.

    If the service is there, and none of its targets is such a one or has an address, that is an empty list. Raises
    ResolverError.
    """
    answer = yield Question(name, RecordType.SRV)
    services = [record for record in answer.records() if isinstance(record, Srv) and instance in record.target]
    services.sort(key=lambda service: service.priority)
    addresses: list[SocketAddr] = []
    for service in services:
        hosts = yield from _resolve_host(service.target)
        addresses += [SocketAddr(host, service.port) for host in hosts]
    return list(dict.fromkeys(addresses))


def _resolve_host(name: str) -> Generator[Question, Answer, list[str]]:
    hosts: list[str] = []
    for type_ in (RecordType.AAAA, RecordType.A):
        answer = yield Question(name, type_)
        try:
            hosts += [record.ip for record in answer.records() if isinstance(record, Address)]
        except NameNotFound:
            continue
    return hosts


def _matching(records: Iterable[Record], question: Question) -> tuple[Record, ...]:
    records = tuple(records)
    wanted = _TYPES[question.type]
    name = question.name
    for _ in range(_MAX_ALIASES):
        found = tuple(record for record in records if isinstance(record, wanted) and _same(record.name, name))
        if found:
            return found
        aliases = [record for record in records if isinstance(record, Alias) and _same(record.name, name)]
        if not aliases:
            break
        name = aliases[0].target
    return ()


def _same(one: str, other: str) -> bool:
    return one.rstrip(".").lower() == other.rstrip(".").lower()


def _code_name(code: int) -> str:
    try:
        return ResponseCode(code).name
    except ValueError:
        return f"response code {code}"


# --- bytes -----------------------------------------------------------------------------------------------------------


def _encode_name(name: str) -> bytes:
    encoded = bytearray()
    for label in name.rstrip(".").split("."):
        try:
            raw = label.encode("ascii")
        except UnicodeEncodeError:
            raise ResolverError(f"not a DNS name: {name!r} (only ASCII is looked up)") from None
        if not 1 <= len(raw) <= 63:
            raise ResolverError(f"not a DNS name: {name!r} (a label has 1 to 63 characters)")
        encoded += bytes((len(raw),)) + raw
    encoded += b"\0"
    if len(encoded) > _MAX_NAME_BYTES:
        raise ResolverError(f"not a DNS name: {name!r} (longer than {_MAX_NAME_BYTES} bytes)")
    return bytes(encoded)


def _decode_name(packet: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset`, and the offset behind it. Each pointer must lead to before the part it continues."""
    labels: list[str] = []
    size = 1
    behind: int | None = None
    start = offset
    while True:
        length = _byte(packet, offset)
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | _byte(packet, offset + 1)
            if behind is None:
                behind = offset + 2
            if target >= start:
                raise MalformedAnswer("DNS packet: a compression pointer does not point backwards")
            offset = start = target
        elif length > 63:
            raise MalformedAnswer(f"DNS packet: label length {length}")
        elif length == 0:
            return ".".join(labels), offset + 1 if behind is None else behind
        else:
            size += length + 1
            label = packet[offset + 1 : offset + 1 + length]
            if len(label) < length or size > _MAX_NAME_BYTES:
                raise MalformedAnswer("DNS packet: a name runs past its end")
            labels.append(_label_text(label))
            offset += 1 + length


def _label_text(label: bytes) -> str:
    """Presentation form: what is no printable character of a label is escaped, so that text is never ambiguous."""
    if label.isalnum():
        return label.decode("ascii")
    return "".join(chr(b) if 0x21 <= b <= 0x7E and b not in b'."\\()@;$' else f"\\{b:03}" for b in label)


def _decode_records(packet: bytes, offset: int, count: int) -> tuple[tuple[Record, ...], int]:
    records: list[Record] = []
    for _ in range(count):
        name, offset = _decode_name(packet, offset)
        rtype, rclass, _, length = _unpack(_RECORD_HEAD, packet, offset)
        offset += _RECORD_HEAD.size
        end = offset + length
        if end > len(packet):
            raise MalformedAnswer("DNS packet: a record runs past its end")
        if rclass == _IN and rtype in _TYPES:
            records.append(_decode_record(packet, offset, end, name=name, type_=RecordType(rtype)))
        offset = end
    return tuple(records), offset


def _decode_record(packet: bytes, offset: int, end: int, *, name: str, type_: RecordType) -> Record:
    if type_ in (RecordType.A, RecordType.AAAA):
        data = packet[offset:end]
        if len(data) != (4 if type_ is RecordType.A else 16):
            raise MalformedAnswer(f"DNS packet: an {type_.name} record of {len(data)} bytes")
        return Address(name, str(ipaddress.ip_address(data)))
    priority = weight = port = 0
    if type_ is RecordType.SRV:
        priority, weight, port = _unpack(struct.Struct("!3H"), packet, offset)
        offset += 6
    target, behind = _decode_name(packet, offset)
    if behind != end:
        raise MalformedAnswer(f"DNS packet: the {type_.name} record of {name} has the wrong length")
    if type_ is RecordType.SRV:
        return Srv(name, priority, weight, port, target)
    return NameServer(name, target) if type_ is RecordType.NS else Alias(name, target)


def _byte(packet: bytes, offset: int) -> int:
    if offset >= len(packet):
        raise MalformedAnswer("DNS packet: it ends too early")
    return packet[offset]


def _unpack(form: struct.Struct, packet: bytes, offset: int) -> tuple[int, ...]:
    try:
        return form.unpack_from(packet, offset)
    except struct.error:
        raise MalformedAnswer("DNS packet: it ends too early") from None
