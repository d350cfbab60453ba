"""How a child process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """`returncode` as subprocess has it: negative where a signal ended the process."""

    returncode: int

    def is_by_signal(self, *names: str) -> bool:
        return any(self.returncode == -signal.Signals[name] for name in names)

    def __str__(self) -> str:
        if self.returncode >= 0:
            return f"exited with status {self.returncode}"
        try:
            name = signal.Signals(-self.returncode).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {-self.returncode}"
        return f"killed by {name}"
