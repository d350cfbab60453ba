"""omdb's own log, on standard error, in the form of upstream's terminal log. Only `--log-level` makes it speak."""

from __future__ import annotations

from omdb.render.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import TextIO

LEVELS = {"trace": "TRCE", "debug": "DEBG", "info": "INFO", "warn": "WARN", "error": "ERRO", "critical": "CRIT"}


class Log:
    """A line is `Aug 12 20:16:25.405 DEBG a fixed sentence, name: value, name: value`."""

    def __init__(self, level: str, *, stream: TextIO, now: Callable[[], datetime]) -> None:
        self._shown = list(LEVELS)[list(LEVELS).index(level) :]
        self._stream = stream
        self._now = now

    def debug(self, sentence: str, /, **fields: str) -> None:
        self._write("debug", sentence, fields)

    def shows(self, level: str) -> bool:
        return level in self._shown

    def _write(self, level: str, sentence: str, fields: dict[str, str]) -> None:
        if self.shows(level):
            time = f"{self._now().astimezone():%b %d %H:%M:%S.%f}"[:-3]
            text = ", ".join((sentence, *(f"{name}: {printable(value)}" for name, value in fields.items())))
            self._stream.write(f"{time} {LEVELS[level]} {text}\n")
