"""What `open_stack` tells whoever watches it: lines worth keeping, and the state of each service on its way up.

The stack decides what happened; the watcher decides how it looks.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called from the trio loop, between two awaits: must neither block nor raise."""

    def awaits(self, service: str, what: str) -> None:
        """`service` is on its way up and waits for `what`, for instance `the database`."""

    def is_up(self, service: str, address: str) -> None:
        """`service` answers at `address`."""

    def note(self, line: str) -> None:
        """A fact worth a line of its own, such as where a log file is."""

    def warn(self, line: str) -> None:
        """Something went wrong that the stack survives, such as the death of one Nexus. May have several lines."""


class Silent:
    """Watches nothing."""

    def awaits(self, service: str, what: str) -> None: ...
    def is_up(self, service: str, address: str) -> None: ...
    def note(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
