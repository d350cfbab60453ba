"""Takes out of a text what differs from run to run, and leaves everything else where it was.

Ids, times and ports are replaced by text of their own length, so tables keep their columns. The same id, or port, gets
the same replacement throughout the life of a `Redactor`, so that one still sees which is which.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_LOG_TIME = re.compile(r"^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{3}(?= [A-Z]{4} )", re.MULTILINE)
_PORT = re.compile(r"(127\.0\.0\.1:|\[::1\]:|localhost:)(\d{4,5})\b")
_DURATION = re.compile(r"(?<=\()\d+(?=s ago\))|(?<=\bran for )\d+(?=ms\b)|(?<=\brunning for )\d+(?=ms\b)")


class Redactor:
    """`known` names ids that are the same in every run, by a word for each: `{"e6bff1ff-...": "first-nexus"}`."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._ids = {id: f"<{word}>" for id, word in (known or {}).items()}
        self._ports: dict[str, str] = {}

    def redact(self, text: str) -> str:
        text = _UUID.sub(lambda found: self._id(found.group()), text)
        for time in (_TIME, _LOG_TIME):
            text = time.sub(lambda found: "<time>".ljust(len(found.group()), "."), text)
        return _DURATION.sub("N", self.redact_ports(text))

    def redact_ports(self, text: str) -> str:
        """Only these, for a text in which everything else is the same in every run."""
        return _PORT.sub(lambda found: found.group(1) + self._port(found.group(2)), text)

    def _id(self, id: str) -> str:
        return self._ids.setdefault(id, f"<id{len(self._ids) + 1}>").ljust(len(id), ".")

    def _port(self, port: str) -> str:
        return self._ports.setdefault(port, f"PORT{len(self._ports) + 1}")
