"""The internal API's part about quiescing, as its clients see it: see `nexus.clients.nexus`. No I/O."""

from __future__ import annotations

from nexus.api.quiesce_types import QuiesceStatus
from nexus.clients.nexus import Request, decode_json


def view_quiesce() -> Request:
    return Request("GET", "/quiesce")


def decode_quiesce(body: bytes) -> QuiesceStatus:
    return decode_json(body, QuiesceStatus)


def start_quiesce() -> Request:
    """May be repeated."""
    return Request("POST", "/quiesce")
