"""How `run-all` shows a stack that is coming up: plain lines, or a live table on a terminal.

All of it goes to stderr; stdout has the first line and the summary, or the JSON.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtask.banner import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.live import Live
    from rich.table import Table

REFRESH_PER_SECOND = 10


class PlainDisplay:
    """Lines as they come: what a pipe or a log gets."""

    def awaits(self, service: str, what: str) -> None: ...

    def is_up(self, service: str, address: str) -> None: ...

    def note(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        print(f"{PREFIX}{line}", file=sys.stderr, flush=True)


class LiveDisplay:
    """A table that is redrawn until everything is up, and then removed; notes stand above it and stay.

    Rich takes 90 ms to import: it is left until a first service is up, when the processes to wait for are under way.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._rows: dict[str, _Row] = {}
        self._early_notes: list[str] = []
        self._live: Live | None = None

    def awaits(self, service: str, what: str) -> None:
        self._rows[service] = _Row(what, is_up=False, began=self._began_at(service))

    def is_up(self, service: str, address: str) -> None:
        self._rows[service] = _Row(address, is_up=True, began=self._began_at(service))
        if self._live is None:
            self._draw()

    def note(self, line: str) -> None:
        if self._live is None:
            self._early_notes.append(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        if self._live is None:
            self._draw()
        assert self._live is not None, "_draw() makes it"
        self._live.console.print(f"{PREFIX}{line}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the table; what is reported after that stands in plain lines."""
        if self._live is not None:
            self._live.stop()
        else:
            for line in self._early_notes:
                print(line, file=sys.stderr, flush=True)

    def _began_at(self, service: str) -> float:
        return self._rows[service].began if service in self._rows else time.monotonic()

    def _draw(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(
            get_renderable=self._table, console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True
        )
        self._live.start()
        for line in self._early_notes:
            self.note(line)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for service, row in self._rows.items():
            if row.is_up:
                table.add_row(Text("✓", "green"), Text(service), Text(row.detail))
            else:
                waited = Text(f"{now - row.began:.1f} s", "dim")
                table.add_row(Text("…", "yellow"), Text(service), Text(f"waits for {row.detail}"), waited)
        table.add_row("", Text("elapsed", "dim"), "", Text(f"{now - self._began:.1f} s", "dim"))
        return table


@dataclass(frozen=True, slots=True)
class _Row:
    detail: str
    is_up: bool
    began: float


@contextmanager
def starting_up() -> Iterator[PlainDisplay | LiveDisplay]:
    """Yields what to report progress to; on leaving, the live table (where there is one) is gone."""
    if not sys.stderr.isatty():
        yield PlainDisplay()
        return
    display = LiveDisplay()
    try:
        yield display
    finally:
        display.close()
