"""What the launcher knows of its services: a board that tasks write on; progress and `status` are read from it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simstack.facts import ENDED, ServiceState, ServiceStatus

if TYPE_CHECKING:
    from simstack.progress import Progress

Protocol = Literal["http", "nexus", "dns", "postgres"]


@dataclass(slots=True)
class _Entry:
    protocol: Protocol
    since: float
    pid: int = 0
    address: str = ""
    state: ServiceState = "starting"
    detail: str = ""


class ServiceBoard:
    """Services in the order in which they were announced."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._entries: dict[str, _Entry] = {}

    def announce(self, name: str, protocol: Protocol, *, awaits: str) -> None:
        """`name` is going to be started, or started again."""
        self._entries[name] = _Entry(protocol, since=time.monotonic())
        self.awaits(name, awaits)

    def has_process(self, name: str, *, pid: int) -> None:
        self._entries[name].pid = pid

    def awaits(self, name: str, what: str) -> None:
        entry = self._entries[name]
        entry.state, entry.detail = "starting", f"waits for {what}"
        self._progress.awaits(name, what)

    def stands_by(self, name: str, address: object, what: str) -> None:
        """It has come as far as it can until others make way."""
        self.awaits(name, what)
        entry = self._entries[name]
        entry.state, entry.address = "standby", str(address)

    def is_up(self, name: str, address: object, *, pid: int) -> None:
        entry = self._entries[name]
        if entry.state != "running":
            entry.since = time.monotonic()
        entry.state, entry.address, entry.pid, entry.detail = "running", str(address), pid, ""
        self._progress.is_up(name, entry.address)

    def ended(self, name: str, state: Literal["stopped", "killed", "expunged", "exited"], detail: str) -> None:
        entry = self._entries[name]
        entry.state, entry.detail, entry.since = state, detail, time.monotonic()

    def never_comes_back(self, name: str, detail: str) -> None:
        """Its zone is expunged: that is what there is to say of it once it has ended, however that was."""
        entry = self._entries[name]
        if entry.state in ENDED:
            entry.state, entry.detail = "expunged", detail

    def statuses(self) -> list[ServiceStatus]:
        now = time.monotonic()
        return [
            ServiceStatus(name, entry.protocol, entry.state, entry.address, entry.pid, now - entry.since, entry.detail)
            for name, entry in self._entries.items()
        ]
