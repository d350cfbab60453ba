"""Rounds in which everything is measured once, so that noise falls on all alike."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


@dataclass(frozen=True, slots=True)
class Measured:
    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def row(self, *others: Measured, factor: float = 1, digits: int = 0) -> str:
        """Median, least and most, and the ratio of the median to that of each of the others."""
        figures = (factor * figure for figure in (self.median, min(self.samples), max(self.samples)))
        ratios = "".join(f"{self.median / other.median:10.2f}" for other in others)
        return f"{self.name:<36}{''.join(f'{figure:9.{digits}f}' for figure in figures)}{ratios}"


def heading(*others: str) -> str:
    return f"{'':<36}{'median':>9}{'min':>9}{'max':>9}{''.join(f'{other:>10}' for other in others)}"


async def interleave(subjects: Mapping[str, Callable[[], Awaitable[float]]], *, rounds: int) -> dict[str, Measured]:
    """After one round that does not count."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(rounds + 1):
        for name, measure in subjects.items():
            say(f"round {round_number} of {rounds}: {name}")
            sample = await measure()
            if round_number:
                samples[name].append(sample)
    return {name: Measured(name, tuple(taken)) for name, taken in samples.items()}


def say(what: str) -> None:
    """What takes longer than a second is announced."""
    print(f"bench: {what} ...", file=sys.stderr, flush=True)
