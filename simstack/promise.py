"""A value that one task provides once and others wait for: an edge of the start-up graph."""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Promise(Generic[T]):
    """Starts empty; `keep` fills it for good."""

    def __init__(self) -> None:
        self._is_kept = trio.Event()
        self._value: T

    def keep(self, value: T) -> None:
        assert not self._is_kept.is_set(), "a promise is kept once"
        self._value = value
        self._is_kept.set()

    async def get(self) -> T:
        """Wait for the value. A task that fails before it keeps the promise must cancel whoever waits here."""
        await self._is_kept.wait()
        return self._value
