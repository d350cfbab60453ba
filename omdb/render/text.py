"""Text to be shown: lines of spans, each with the name of a style. Pure.

A renderer returns lines; `omdb.terminal` writes them, as they are into a pipe or a file, coloured to a terminal. Colour
is all that styles add, so both show the same characters.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Span: TypeAlias = tuple[str, str]
    """Text and a style of `STYLES`, or an empty one."""

    Line: TypeAlias = tuple[Span, ...]

STYLES = {
    "": "",
    "heading": "bold",
    "name": "bold cyan",
    "option": "cyan",
    "running": "yellow",
    "succeeded": "green",
    "failed": "red",
    "stuck": "bold red",
    "warning": "yellow",
}
"""Of the sixteen colours that every terminal has, and that its owner has chosen."""


def line(*parts: str | Span) -> Line:
    return tuple((part, "") if isinstance(part, str) else part for part in parts)


def indent(lines: list[Line], columns: int) -> list[Line]:
    """Moves every line that is not empty to the right."""
    margin = (" " * columns, "")
    return [(margin, *spans) if spans else spans for spans in lines]


def plain(lines: list[Line]) -> str:
    return "".join("".join(text for text, _ in spans) + "\n" for spans in lines)


def printable(text: str) -> str:
    """`text` with control characters escaped: what a server says must not move the cursor or fake a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
