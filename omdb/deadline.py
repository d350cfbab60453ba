"""A point in time by which something must be over, however many waits it is made of."""

from __future__ import annotations

import time


class Deadline:
    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left_s(self) -> float:
        """0 once it is over."""
        return max(self._at - time.monotonic(), 0.0)

    def remaining_s(self) -> float:
        """As a socket's timeout. Raises TimeoutError once it is over."""
        if (left_s := self.left_s()) == 0:
            raise TimeoutError
        return left_s
