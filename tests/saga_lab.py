"""A laboratory for sagas: ids, a logger that keeps what it is told, and processes that run and die to the step.

Random sagas are in `saga_shapes`, what they must do in `saga_oracle`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar
from unittest.mock import patch
from uuid import UUID

import trio
import trio.testing
from hypothesis import settings

from nexus.saga.ids import SagaId, SecId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

SAGA_ID = SagaId(UUID(int=0x5A6A))
SEC_ID = SecId(UUID(int=0xE6))
OTHER_SEC_ID = SecId(UUID(int=0xA4))


class KeptLog:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def bind(self, **fields: object) -> KeptLog:
        return self

    def debug(self, event: str, /, **fields: object) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, /, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, /, **fields: object) -> None:
        self.lines.append(("error", event, fields))

    def critical(self, event: str, /, **fields: object) -> None:
        self.lines.append(("critical", event, fields))

    def exception(self, event: str, /, **fields: object) -> None:
        self.lines.append(("error", event, fields))


def run_deterministically(fn: Callable[[], Awaitable[T]], *, seed: int) -> T:
    """trio.run with the order of tasks made by the seed, and time that passes when all wait: the same in every run."""
    trio._core._run._r.seed(seed)
    with patch.object(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", new=True):
        return trio.run(fn, clock=trio.testing.MockClock(autojump_threshold=0))


class KillAt(trio.abc.Instrument):
    """Cancels the process before its n-th step."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self.left = step
        self.scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


FUZZED = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")), deadline=None, print_blob=True)
"""For tests that `xtask fuzz sagas` runs with more examples."""
