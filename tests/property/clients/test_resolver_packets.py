"""No packet, however broken, makes the resolver do anything but answer or raise `MalformedAnswer`."""

from __future__ import annotations

import contextlib

import dns.message
import dns.name
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from nexus.clients.resolver import (
    MalformedAnswer,
    Question,
    RecordType,
    Srv,
    answers_query,
    decode_answer,
    encode_query,
)

QUESTION = Question("_nexus._tcp.test", RecordType.SRV)


def answer_packet() -> bytes:
    response = dns.message.make_response(dns.message.from_wire(encode_query(QUESTION, query_id=1)))
    response.answer.append(
        dns.rrset.from_text(f"{QUESTION.name}.", 0, "IN", "SRV", "0 0 1 one.test.", "0 0 2 two.test.")
    )
    response.additional.append(dns.rrset.from_text("one.test.", 0, "IN", "AAAA", "::1"))
    return response.to_wire()


@given(st.binary(max_size=300))
def test_noise(packet: bytes) -> None:
    answers_query(packet, QUESTION, query_id=1)
    with contextlib.suppress(MalformedAnswer):
        decode_answer(packet, QUESTION)


@given(st.dictionaries(st.integers(0, len(answer_packet()) - 1), st.integers(0, 255), max_size=8), st.integers(0, 200))
def test_a_true_answer_damaged(damage: dict[int, int], length: int) -> None:
    packet = bytearray(answer_packet())
    for offset, byte in damage.items():
        packet[offset] = byte
    cut = bytes(packet[:length])
    answers_query(cut, QUESTION, query_id=1)
    with contextlib.suppress(MalformedAnswer):
        decode_answer(cut, QUESTION)


labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_ABC", min_size=1, max_size=20)


@given(st.lists(st.lists(labels, min_size=1, max_size=5).map(".".join), min_size=1, max_size=10))
def test_compressed_names_are_read_as_dnspython_wrote_them(targets: list[str]) -> None:
    response = dns.message.make_response(dns.message.from_wire(encode_query(QUESTION, query_id=1)))
    for port, target in enumerate(targets):
        record = f"0 0 {port} {target}.{QUESTION.name}."
        response.answer.append(dns.rrset.from_text(f"{QUESTION.name}.", 0, "IN", "SRV", record))
    records = decode_answer(response.to_wire(), QUESTION).records()
    assert [record.target for record in records if isinstance(record, Srv)] == [
        f"{target}.{QUESTION.name}" for target in targets
    ]
