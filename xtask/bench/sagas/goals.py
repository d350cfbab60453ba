"""What was to be reached."""

from __future__ import annotations


class Goals:
    """Prints each as it is checked."""

    def __init__(self) -> None:
        self.missed = 0

    def at_least(self, what: str, bound: float, measured: float) -> None:
        self._print(f"{what}: at least {bound:g}; measured {measured:.2f}", met=measured >= bound)

    def at_most(self, what: str, bound: float, measured: float) -> None:
        self._print(f"{what}: at most {bound:g}; measured {measured:.2f}", met=measured <= bound)

    def _print(self, goal: str, *, met: bool) -> None:
        self.missed += not met
        print(f"goal: {goal}: {'met' if met else 'MISSED'}", flush=True)
