"""Domain names as data: a tuple of labels, most specific first, without the root.

`Name` keeps the case it was written in; compare and index by `folded()`. Only the letters A-Z fold: DNS names are
bytes, and no other byte has a case.
"""

from __future__ import annotations

from typing import TypeAlias

Name: TypeAlias = tuple[bytes, ...]

APEX = "@"
"""How a record name spells the zone itself."""

MAX_LABEL_BYTES = 63
MAX_NAME_BYTES = 255
"""RFC 1035 §2.3.4, with a length byte for each label and one for the root."""


def parse_name(text: str) -> Name:
    """Read `www.example.com`. A final dot is accepted, since every name here is absolute or made so by its zone.

    Raises ValueError, with what is wrong and without the text itself, unless every character is printable ASCII
    other than a space or a backslash (names with escapes or in other scripts are not supported).
    """
    if text == ".":
        return ()
    labels = tuple(label.encode(errors="replace") for label in text.removesuffix(".").split("."))
    for label in labels:
        if not label:
            raise ValueError("empty label")
        if len(label) > MAX_LABEL_BYTES:
            raise ValueError(f"a label of {len(label)} bytes; {MAX_LABEL_BYTES} is the most")
    if not text.isascii() or any(character <= " " or character in "\\\x7f" for character in text):
        raise ValueError("only printable ASCII without spaces and backslashes is allowed")
    check_length(labels)
    return labels


def parse_record_name(text: str) -> Name:
    """Read a name relative to its zone; `@` is the zone itself. Raises ValueError as `parse_name`."""
    if text == APEX:
        return ()
    if text.endswith("."):
        raise ValueError("ends in a dot, but record names are relative to their zone")
    return parse_name(text)


def check_length(name: Name) -> None:
    """Raise ValueError if the name is too long for the wire."""
    if (length := wire_length(name)) > MAX_NAME_BYTES:
        raise ValueError(f"{length} bytes long; {MAX_NAME_BYTES} is the most")


def wire_length(name: Name) -> int:
    return sum(len(label) + 1 for label in name) + 1


def folded(name: Name) -> Name:
    return tuple(label.lower() for label in name)
