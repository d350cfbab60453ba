"""Payloads: the JSON that outlives the process (parameters, constants, outputs, errors).

A payload is kept encoded. It is checked when it is made, so that no store refuses it later, when the action that
produced it has already been recorded as done: Postgres' JSONB has no NUL, no lone surrogates and no NaN, and a limit
on size and depth keeps one saga from holding up the others. Pure.
"""

from __future__ import annotations

import math
from typing import NewType, TypeAlias, TypeVar

import msgspec

from nexus.saga.errors import PayloadMismatch, UnstorablePayload

T = TypeVar("T")

Payload = NewType("Payload", bytes)
"""JSON text that every store can hold."""

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

NULL = Payload(b"null")

MAX_PAYLOAD_BYTES = 1 << 20
"""As much as one request body. An action with more to say stores it elsewhere and returns where."""

MAX_PAYLOAD_DEPTH = 200
"""Far below where Python's decoder or Postgres' parser run out of stack."""


def encode(value: object) -> Payload:
    """Encode anything that msgspec can. Raises UnstorablePayload."""
    try:
        encoded = msgspec.json.encode(value)
        if len(encoded) > MAX_PAYLOAD_BYTES:
            raise UnstorablePayload(f"{len(encoded)} bytes of JSON are more than {MAX_PAYLOAD_BYTES}")
        _check(msgspec.json.decode(encoded))
        if b"null" in encoded:  # msgspec writes NaN and infinities as null
            _check(msgspec.to_builtins(value))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UnstorablePayload(str(error)) from error
    return Payload(encoded)


def decode(payload: Payload, type_: type[T]) -> T:
    """The payload as a value of that type. Raises PayloadMismatch."""
    try:
        return msgspec.json.decode(payload, type=type_)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PayloadMismatch(str(error)) from error


def to_json_value(payload: Payload) -> JsonValue:
    value: JsonValue = msgspec.json.decode(payload)
    return value


def check_text(text: str) -> None:
    """Raises UnstorablePayload for text that a store cannot hold."""
    if "\0" in text:
        raise UnstorablePayload("a string holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnstorablePayload("a string holds a lone surrogate") from error


def printable(text: str) -> str:
    """The same text, with what no store can hold replaced."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def _check(value: object, depth: int = 0) -> None:
    if depth > MAX_PAYLOAD_DEPTH:
        raise UnstorablePayload(f"nested more than {MAX_PAYLOAD_DEPTH} deep")
    match value:
        case str():
            check_text(value)
        case float():
            if not math.isfinite(value):
                raise UnstorablePayload(f"{value} is not a JSON number")
        case list() | tuple():
            for item in value:
                _check(item, depth + 1)
        case dict():
            for key, item in value.items():
                _check(key, depth + 1)
                _check(item, depth + 1)
        case _:
            pass
