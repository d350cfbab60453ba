"""What the engine needs of a logger: a bound structlog logger is one."""

from __future__ import annotations

from typing import Protocol


class Logger(Protocol):
    """Each line is a fixed sentence and fields."""

    def debug(self, event: str, /, **fields: object) -> object: ...
    def info(self, event: str, /, **fields: object) -> object: ...
    def warning(self, event: str, /, **fields: object) -> object: ...
    def error(self, event: str, /, **fields: object) -> object: ...
