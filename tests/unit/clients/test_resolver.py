"""The resolver against dnspython: what one writes the other reads."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from dropshot.address import SocketAddr
from nexus.clients.resolver import (
    Address,
    Alias,
    Answer,
    MalformedAnswer,
    NameNotFound,
    NameServer,
    Question,
    RecordType,
    ResolverError,
    ServerRefused,
    Srv,
    answers_query,
    decode_answer,
    encode_query,
    resolve_instance,
    resolve_service,
)

SERVICE = Question("_nexus-lockstep._tcp.control-plane.oxide.internal", RecordType.SRV)
HOST = "e6bff1ff.host.control-plane.oxide.internal"


def reply(question: Question, *answers: str, additional: tuple[str, ...] = (), flags: int = 0, rcode: int = 0) -> bytes:
    """A packet as a server would send it; records are `NAME TTL IN TYPE DATA`."""
    response = dns.message.make_response(dns.message.from_wire(encode_query(question, query_id=7)))
    response.flags |= flags
    response.set_rcode(dns.rcode.Rcode(rcode))
    for section, lines in ((response.answer, answers), (response.additional, additional)):
        for line in lines:
            name, ttl, klass, kind, data = line.split(" ", 4)
            section.append(dns.rrset.from_text(f"{name}.", int(ttl), klass, kind, data))
    return response.to_wire()


def test_a_query_is_what_dnspython_reads() -> None:
    message = dns.message.from_wire(encode_query(SERVICE, query_id=513))
    assert message.id == 513
    assert message.question[0].to_text() == f"{SERVICE.name}. IN SRV"
    assert message.flags == dns.flags.RD
    assert message.payload == 1232


@pytest.mark.parametrize(
    ("question", "line", "record"),
    [
        (SERVICE, f"{SERVICE.name} 0 IN SRV 5 9 12221 {HOST}.", Srv(SERVICE.name, 5, 9, 12221, HOST)),
        (Question(HOST, RecordType.AAAA), f"{HOST} 0 IN AAAA 0:0::1", Address(HOST, "::1")),
        (Question(HOST, RecordType.A), f"{HOST} 0 IN A 127.0.0.1", Address(HOST, "127.0.0.1")),
        (
            Question("oxide.test", RecordType.NS),
            "oxide.test 0 IN NS ns1.oxide.test.",
            NameServer("oxide.test", "ns1.oxide.test"),
        ),
    ],
)
def test_every_record_type_is_read(question: Question, line: str, record: object) -> None:
    packet = reply(question, line)
    assert answers_query(packet, question, query_id=7)
    assert decode_answer(packet, question).records() == (record,)


def test_an_alias_is_followed() -> None:
    question = Question("a.test", RecordType.A)
    answer = decode_answer(reply(question, "a.test 0 IN CNAME B.test.", "b.test 0 IN A 10.0.0.1"), question)
    assert answer.answers[0] == Alias("a.test", "B.test")
    assert answer.records() == (Address("B.test", "10.0.0.1"),)


def test_aliases_in_a_circle_end() -> None:
    question = Question("a.test", RecordType.A)
    answer = decode_answer(reply(question, "a.test 0 IN CNAME b.test.", "b.test 0 IN CNAME a.test."), question)
    with pytest.raises(NameNotFound, match=r"no A record in DNS: a\.test"):
        answer.records()


def test_an_answer_to_something_else_is_told_apart() -> None:
    other = Question(HOST, RecordType.A)
    packet = reply(SERVICE)
    assert not answers_query(packet, SERVICE, query_id=8)
    assert not answers_query(packet, other, query_id=7)
    assert not answers_query(encode_query(SERVICE, query_id=7), SERVICE, query_id=7)
    assert not answers_query(packet[:20], SERVICE, query_id=7)
    assert not answers_query(b"", SERVICE, query_id=7)


def test_of_a_truncated_packet_only_the_header_counts() -> None:
    packet = reply(SERVICE, f"{SERVICE.name} 0 IN SRV 0 0 1 {HOST}.", flags=dns.flags.TC)
    answer = decode_answer(packet[:-30], SERVICE)
    assert answer.truncated
    assert answer.answers == ()


@pytest.mark.parametrize(
    ("rcode", "error", "text"),
    [
        (3, NameNotFound, "no such name in DNS: _nexus-lockstep._tcp.control-plane.oxide.internal"),
        (0, NameNotFound, "no SRV record in DNS: _nexus-lockstep._tcp.control-plane.oxide.internal"),
        (2, ServerRefused, "the DNS server answered SERVFAIL to SRV _nexus-lockstep._tcp.control-plane.oxide.internal"),
        (11, ServerRefused, "the DNS server answered response code 11 to SRV _nexus"),
    ],
)
def test_no_record_says_why(rcode: int, error: type[ResolverError], text: str) -> None:
    with pytest.raises(error, match=text):
        decode_answer(reply(SERVICE, rcode=rcode), SERVICE).records()


HEADER = bytes.fromhex("000780000000000100000000")


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (b"\0\7", "ends too early"),
        (HEADER + b"\xc0\x0c", "does not point backwards"),
        (HEADER + b"\x01a\xc0\x0c", "does not point backwards"),
        (HEADER + b"\xc0\xff", "does not point backwards"),
        (HEADER + b"\x80a\0", "label length 128"),
        (HEADER + b"\x05abc", "runs past its end"),
        (HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\0", "runs past its end"),
        (HEADER + b"\0" + bytes.fromhex("0001 0001 00000000 0004 7f00"), "runs past its end"),
        (HEADER + b"\0" + bytes.fromhex("0001 0001 00000000 0003 7f0000"), "an A record of 3 bytes"),
        (HEADER + b"\0" + bytes.fromhex("0002 0001 00000000 0002 0000"), "wrong length"),
    ],
)
def test_a_bad_packet_is_malformed(packet: bytes, text: str) -> None:
    with pytest.raises(MalformedAnswer, match=text):
        decode_answer(packet, SERVICE)


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "bücher.test"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ResolverError, match="not a DNS name"):
        encode_query(Question(name, RecordType.A), query_id=1)


def resolve(answers: dict[Question, bytes], *, instance: str | None = None) -> tuple[list[SocketAddr], list[Question]]:
    asked: list[Question] = []
    steps = resolve_service(SERVICE.name) if instance is None else resolve_instance(SERVICE.name, instance)
    question = next(steps)
    try:
        while True:
            asked.append(question)
            question = steps.send(decode_answer(answers[question], question))
    except StopIteration as done:
        return done.value, asked


def test_a_service_is_resolved_in_one_question_if_the_addresses_come_along() -> None:
    packet = reply(
        SERVICE,
        f"{SERVICE.name} 0 IN SRV 1 0 12223 two.host.",
        f"{SERVICE.name} 0 IN SRV 0 0 12221 one.host.",
        additional=("two.host 0 IN AAAA ::2", "ONE.host 0 IN AAAA ::1", "one.host 0 IN A 127.0.0.1"),
    )
    addresses, asked = resolve({SERVICE: packet})
    assert addresses == [SocketAddr("::1", 12221), SocketAddr("127.0.0.1", 12221), SocketAddr("::2", 12223)]
    assert asked == [SERVICE]


def test_a_target_without_address_is_asked_for_and_passed_over() -> None:
    one = Question("one.host", RecordType.AAAA), Question("one.host", RecordType.A)
    two = Question("two.host", RecordType.AAAA), Question("two.host", RecordType.A)
    addresses, asked = resolve(
        {
            SERVICE: reply(
                SERVICE,
                f"{SERVICE.name} 0 IN SRV 0 0 1 one.host.",
                f"{SERVICE.name} 0 IN SRV 0 0 2 two.host.",
                f"{SERVICE.name} 0 IN SRV 0 0 3 .",
            ),
            one[0]: reply(one[0], rcode=3),
            one[1]: reply(one[1], rcode=3),
            two[0]: reply(two[0]),
            two[1]: reply(two[1], "two.host 0 IN A 127.0.0.1"),
        }
    )
    assert addresses == [SocketAddr("127.0.0.1", 2)]
    assert asked == [SERVICE, *one, *two]


def test_no_address_at_all_names_the_targets() -> None:
    one = Question("one.host", RecordType.AAAA), Question("one.host", RecordType.A)
    packets = {SERVICE: reply(SERVICE, f"{SERVICE.name} 0 IN SRV 0 0 1 one.host."), **{q: reply(q) for q in one}}
    with pytest.raises(NameNotFound, match=r"no address in DNS for any target of _nexus.* \(one\.host\)"):
        resolve(packets)


def test_an_answer_keeps_what_it_is_about() -> None:
    answer = decode_answer(reply(SERVICE), SERVICE)
    assert answer == Answer(SERVICE, 0, truncated=False, answers=(), additionals=())


def test_an_instance_is_a_target_that_has_it_in_its_name() -> None:
    two = Question("two.host", RecordType.AAAA)
    answers = {
        SERVICE: reply(
            SERVICE, f"{SERVICE.name} 0 IN SRV 0 0 12221 one.host.", f"{SERVICE.name} 0 IN SRV 1 0 12223 two.host."
        ),
        two: reply(two, "two.host 0 IN AAAA ::2"),
        Question("two.host", RecordType.A): reply(Question("two.host", RecordType.A), flags=0),
    }
    assert resolve(answers, instance="two")[0] == [SocketAddr("::2", 12223)]
    assert resolve(answers, instance="three")[0] == []
