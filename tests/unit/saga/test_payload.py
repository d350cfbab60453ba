"""Which values can be kept, and that what is refused is refused before it is written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from nexus.saga.errors import PayloadMismatch, UnstorablePayload
from nexus.saga.payload import MAX_PAYLOAD_BYTES, Payload, decode, encode, printable, to_json_value


class Disk(msgspec.Struct, frozen=True):
    id: UUID
    size: int
    note: str | None = None


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


DISK = Disk(UUID(int=1), 3)


@pytest.mark.parametrize("value", [None, True, 0, -(2**63), 2**70, 1.5, 1e300, "", "\\u0000", "é\n", [], {"a": None}])
def test_plain_values_come_back(value: object) -> None:
    assert to_json_value(encode(value)) == value


def test_typed_values_come_back() -> None:
    assert decode(encode(DISK), Disk) == DISK
    assert decode(encode(Decimal("1.10")), Decimal) == Decimal("1.10")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\0b", "NUL"),
        ({"a\0": 1}, "NUL"),
        ([{"x": ["\0"]}], "NUL"),
        ("\ud800", "surrogates not allowed"),
        (float("nan"), "nan is not a JSON number"),
        ({"a": [None, float("inf")]}, "inf is not a JSON number"),
        pytest.param("x" * MAX_PAYLOAD_BYTES, "bytes of JSON are more than", id="big"),
        (nested(300), "nested more than"),
        (nested(5000), "nested more than|recursion"),  # which of the two is up to the interpreter
        (object(), "unsupported"),
        ({(1, 2): 3}, "keys"),
        (msgspec.Raw(b"no json"), "malformed"),
        pytest.param(10**5000, "integer string conversion", id="huge"),
    ],
)
def test_values_that_no_store_can_hold(value: object, reason: str) -> None:
    with pytest.raises(UnstorablePayload, match=reason):
        encode(value)


def test_json_of_another_type() -> None:
    with pytest.raises(PayloadMismatch, match="missing required field `id`"):
        decode(Payload(b"{}"), Disk)


def test_printable() -> None:
    assert printable("a\0b\ud800é") == "a\\x00b\\ud800é"
    encode(printable("a\0b\ud800é"))
