"""What sets a background task going besides its period: a request, or a change of a value that it depends on.

Either is one stored permit: however often it is given while the task runs, the task runs once more. No `await`
anywhere: whoever gives one never waits for the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Activator:
    """Holds at most one permit to run, for one listener; also one that was given before anybody listened."""

    def __init__(self) -> None:
        self._given = False
        self._wake: Callable[[], None] = _nobody

    def activate(self) -> None:
        self._given = True
        self._wake()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called at every permit from now on."""
        self._wake = wake

    def take(self) -> bool:
        """Whether a permit was given since the last call."""
        given, self._given = self._given, False
        return given


class Watch(Generic[T]):
    """The latest value that one task has found, for other tasks to read and to depend on.

    Sending counts as a change, whatever is sent: send what differs.
    """

    def __init__(self, initial: T) -> None:
        self._value = initial
        self._dependents: list[Activator] = []

    @property
    def value(self) -> T:
        return self._value

    def send(self, value: T) -> None:
        self._value = value
        for dependent in self._dependents:
            dependent.activate()

    def subscribe(self) -> Activator:
        """A permit at every change from now on."""
        dependent = Activator()
        self._dependents.append(dependent)
        return dependent


def _nobody() -> None:
    """Nobody listens yet."""
