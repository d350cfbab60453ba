"""Tables in upstream's `empty` style: no borders, every cell, the last of a row included, padded to one space beyond
the widest of its column. Without rows the headings remain. Pure.
"""

from __future__ import annotations

from omdb.render.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from omdb.render.text import Line, Span

    Cell: TypeAlias = str | Span


def empty_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[Line]:
    """Cells may hold anything: they are made printable here."""
    spans = [[_span(cell) for cell in row] for row in rows]
    widths = [len(heading) for heading in headings]
    for row in spans:
        for column, (text, _) in enumerate(row):
            widths[column] = max(widths[column], len(text))
    heading_row = [(heading, "heading") for heading in headings]
    return [_row(row, widths) for row in (heading_row, *spans)]


def _row(row: Sequence[Span], widths: Sequence[int]) -> Line:
    return tuple((text.ljust(width + 1), style) for (text, style), width in zip(row, widths, strict=True))


def _span(cell: Cell) -> Span:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return printable(text), style
