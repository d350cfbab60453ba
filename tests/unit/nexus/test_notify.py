"""The child's side of sd_notify."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from nexus.notify import Notifier

if TYPE_CHECKING:
    from pathlib import Path


def test_one_datagram_each(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as parent:
        parent.bind(str(tmp_path / "s"))
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "s")})
        notifier.waits("waiting for\nthe database", standby=False)
        notifier.waits("waiting for the handoff", standby=True)
        notifier.send(X_INTERNAL_ADDRESS="[::1]:1", X_EXTERNAL_ADDRESS="127.0.0.1:2")
        notifier.ready()
        notifier.refuses("it is expunged")
        assert [parent.recv(1000) for _ in range(5)] == [
            b"STATUS=waiting for the database\nX_STANDBY=0",
            b"STATUS=waiting for the handoff\nX_STANDBY=1",
            b"X_INTERNAL_ADDRESS=[::1]:1\nX_EXTERNAL_ADDRESS=127.0.0.1:2",
            b"READY=1\nSTATUS=ready",
            b"STATUS=cannot start: it is expunged\nX_REFUSAL=it is expunged",
        ]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux'")
def test_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as parent:
        parent.bind(b"\0nexus-test-notify")
        Notifier("@nexus-test-notify").ready()
        assert parent.recv(1000) == b"READY=1\nSTATUS=ready"


def test_nobody_listens(tmp_path: Path) -> None:
    for path in (None, str(tmp_path / "gone"), "x" * 500):
        Notifier(path).ready()
    Notifier.from_environment({"NOTIFY_SOCKET": ""}).ready()
