"""Tables in upstream's styles. Every cell, the last of a row included, is padded to the widest of its column; without
rows the headings remain. Pure.

`empty`: no borders, one space behind each cell. `psql`: one space on each side of it, bars between the columns, a rule
below the headings. How many spaces are before a cell can be chosen, since upstream is not always of one mind.
"""

from __future__ import annotations

from omdb.render.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from omdb.render.text import Line, Span

    Cell: TypeAlias = str | Span


def empty_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, left: int = 0) -> list[Line]:
    """Cells may hold anything: they are made printable here."""
    headed, widths = _measured(headings, rows)
    return [_row(row, widths, left) for row in headed]


def psql_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, left: int = 1) -> list[Line]:
    headed, widths = _measured(headings, rows)
    first, *others = [_psql_row(row, widths, left) for row in headed]
    rule = "+".join("-" * (left + width + 1) for width in widths)
    return [first, ((rule, ""),), *others]


def _measured(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> tuple[list[list[Span]], list[int]]:
    """All rows, that of the headings first, and the widths of the columns."""
    headed = [[(heading, "heading") for heading in headings], *([_span(cell) for cell in row] for row in rows)]
    return headed, [max(len(text) for text, _ in column) for column in zip(*headed, strict=True)]


def _psql_row(row: Sequence[Span], widths: Sequence[int], left: int) -> Line:
    spans: list[Span] = []
    for (text, style), width in zip(row, widths, strict=True):
        spans += [("|" if spans else "", ""), (f"{' ' * left}{text.ljust(width)} ", style)]
    return tuple(spans)


def _row(row: Sequence[Span], widths: Sequence[int], left: int) -> Line:
    return tuple((" " * left + text.ljust(width + 1), style) for (text, style), width in zip(row, widths, strict=True))


def _span(cell: Cell) -> Span:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return printable(text), style
