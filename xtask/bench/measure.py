"""Interleaved timing of commands: medians and ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


Rounds = Annotated[int, Parameter(validator=validators.Number(gte=1))]


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall-clock samples of one command, in seconds."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def row(self, floor: Timing) -> str:
        """One line: median, fastest and slowest in milliseconds, and the ratio of the medians to `floor`'s."""
        low, middle, high = (f"{s * 1000:8.1f}" for s in (min(self.samples), self.median, max(self.samples)))
        return f"{self.name:<44}{middle}{low}{high}{self.median / floor.median:9.2f}"


HEADER = f"{'command':<44}{'median':>8}{'min':>8}{'max':>8}{'ratio':>9}   (ms; ratio of medians)"


def environment_of_a_user() -> dict[str, str]:
    """The environment without what only developers set: bytecode is written and read as users have it."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def wall_clock(argv: Sequence[str], *, env: Mapping[str, str]) -> float:
    """Seconds that one run of `argv` takes; raises CalledProcessError, with its output, if it fails."""
    start = time.perf_counter()
    subprocess.run(argv, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def interleave(subjects: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, Timing]:
    """Run every subject once a round, after one round that does not count, so that noise falls on all alike."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(rounds + 1):
        for name, run in subjects.items():
            seconds = run()
            if round_number:
                samples[name].append(seconds)
    return {name: Timing(name, tuple(taken)) for name, taken in samples.items()}
