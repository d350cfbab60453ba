"""How `run-all` shows a stack that is coming up: plain lines, or a live table on a terminal.

Everything goes to stderr; the summary alone goes to stdout.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xtask.banner import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

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
    """A table that is redrawn until everything is up, and then removed; notes stand above it and stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._rows: dict[str, tuple[str, str, float]] = {}

    def awaits(self, service: str, what: str) -> None:
        began = self._rows[service][2] if service in self._rows else time.monotonic()
        self._rows[service] = ("awaited", what, began)

    def is_up(self, service: str, address: str) -> None:
        began = self._rows[service][2] if service in self._rows else time.monotonic()
        self._rows[service] = ("up", address, began)

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        self._console.print(f"{PREFIX}{line}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        from rich.table import Table

        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for service, (state, detail, began) in self._rows.items():
            mark = "[green]✓[/]" if state == "up" else "[yellow]…[/]"
            elapsed = "" if state == "up" else f"[dim]{now - began:.1f} s[/]"
            table.add_row(mark, service, detail if state == "up" else f"waits for {detail}", elapsed)
        table.add_row("", "[dim]elapsed[/]", f"[dim]{now - self._started:.1f} s[/]", "")
        return table


@contextmanager
def starting_up() -> Iterator[PlainDisplay | LiveDisplay]:
    """Yields what to report progress to; on leaving, the live table (where there is one) is gone."""
    if not sys.stderr.isatty():
        yield PlainDisplay()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    display = LiveDisplay(console)
    with Live(get_renderable=display.__rich__, console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True):
        yield display
