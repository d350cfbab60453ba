"""What a Nexus tells the process that started it, by the sd_notify protocol.

Datagrams of `KEY=VALUE` lines to the unix socket named by NOTIFY_SOCKET; nothing at all where there is none. Keys:
STATUS (what it is doing), X_STANDBY (1 while it waits for its turn alone, with the STATUS that says so, else 0),
X_INTERNAL_ADDRESS and X_EXTERNAL_ADDRESS (where it listens), READY=1, X_REFUSAL (why it cannot start).
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "NOTIFY_SOCKET"


class Notifier:
    """Never blocks and never fails: a parent that is gone or does not listen misses the news."""

    def __init__(self, path: str | None) -> None:
        # A leading @ stands for Linux' abstract namespace.
        self._path = "\0" + path[1:] if path is not None and path.startswith("@") else path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        return cls(environment.get(VARIABLE) or None)

    def waits(self, text: str, *, standby: bool) -> None:
        self.send(STATUS=text, X_STANDBY="1" if standby else "0")

    def refuses(self, why: str) -> None:
        self.send(STATUS=f"cannot start: {why}", X_REFUSAL=why)

    def ready(self) -> None:
        self.send(READY="1", STATUS="ready")

    def send(self, **values: str) -> None:
        """Send all these in one datagram. Line ends in values become spaces."""
        if self._path is None:
            return
        lines = [f"{key}={' '.join(value.splitlines())}" for key, value in values.items()]
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), self._path)
