"""The parent's side of the sd_notify protocol: what a child says about itself over `NOTIFY_SOCKET`.

A child sends datagrams of `KEY=VALUE` lines to a unix socket: `STATUS=waiting for the database`, `READY=1`, and facts
of its own such as `X_INTERNAL_ADDRESS=[::1]:12221`. Later values replace earlier ones.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "NOTIFY_SOCKET"
MAX_DATAGRAM_BYTES = 65536
MAX_PATH_BYTES = 103
"""macOS has the smaller `sun_path`, 104 with its terminating zero."""


@dataclass(frozen=True, slots=True)
class Notices:
    """All that a child has said so far."""

    ready: bool = False
    status: str = ""
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Everything by its key, `READY` and `STATUS` included."""

    @property
    def standby(self) -> bool:
        """It waits for its turn alone, and `status` says for whom: for as long as others take to make way."""
        return self.values.get("X_STANDBY") == "1"

    @property
    def refusal(self) -> str | None:
        """Why it cannot start."""
        return self.values.get("X_REFUSAL")

    def updated(self, datagram: bytes) -> Notices:
        """What is known after one more datagram. Lines without `=` are ignored, as the protocol wants it."""
        lines = datagram.decode(errors="replace").splitlines()
        news = {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}
        values = {**self.values, **news}
        return Notices(values.get("READY") == "1", values.get("STATUS", ""), MappingProxyType(values))


class NotifyListener:
    """Reads the socket of one child. `run()` belongs to the child's owner task."""

    def __init__(self, raw: socket.socket, path: Path, fallback: Path | None) -> None:
        self._raw = raw
        self._socket = trio.socket.from_stdlib_socket(raw)
        self._changed = trio.Event()
        self.path = path
        self.fallback = fallback
        """The directory that was made for the socket alone, if there is one."""
        self.latest = Notices()

    async def run(self) -> None:
        """Take in datagrams until cancelled."""
        while True:
            self._take_in(await self._socket.recv(MAX_DATAGRAM_BYTES))

    def drain(self) -> None:
        """Take in what has already arrived: a child's last words before it ended."""
        while True:
            try:
                datagram = self._raw.recv(MAX_DATAGRAM_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._take_in(datagram)

    async def changed(self) -> None:
        """Return when `latest` is another than at the call."""
        await self._changed.wait()

    def wake(self) -> None:
        """Let everybody who waits for a change look again."""
        self._changed.set()
        self._changed = trio.Event()

    def _take_in(self, datagram: bytes) -> None:
        updated = self.latest.updated(datagram)
        if updated != self.latest:
            self.latest = updated
            self.wake()


@contextmanager
def notify_listener(directory: Path, *, name: str) -> Iterator[NotifyListener]:
    """Bind a socket in `directory`, which must be closed to other users; removed at the end.

    Where its path would be too long for an address, it is in a new directory below /tmp instead.
    """
    path = directory / f"{name}.notify"
    fallback: Path | None = None
    if len(bytes(path)) > MAX_PATH_BYTES:
        fallback = Path(tempfile.mkdtemp(prefix="omicron-dev-", dir="/tmp"))
        path = fallback / "notify"
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        raw.bind(str(path))
        raw.setblocking(False)
        yield NotifyListener(raw, path, fallback)
    finally:
        raw.close()
        path.unlink(missing_ok=True)
        if fallback is not None:
            shutil.rmtree(fallback, ignore_errors=True)
