"""Where rendered lines become characters: plain ones, or coloured by rich, which is loaded only if there is colour."""

from __future__ import annotations

from omdb.render.text import STYLES, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from omdb.render.text import Line


class Terminal:
    """A text stream that lines are written to."""

    def __init__(self, stream: TextIO, *, colored: bool) -> None:
        self._stream = stream
        self._colored = colored

    def write(self, lines: list[Line]) -> None:
        if self._colored:
            _write_colored(lines, self._stream)
        else:
            self._stream.write(plain(lines))

    def flush(self) -> None:
        self._stream.flush()


def wants_color(choice: str, *, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """`choice` is what `--color` says. For `auto`, NO_COLOR (https://no-color.org) and a dumb terminal mean no."""
    if choice != "auto":
        return choice == "always"
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and stream.isatty()


def _write_colored(lines: list[Line], stream: TextIO) -> None:
    """rich knows styles and escape codes. Its console is not needed, and would take twice as long to load."""
    from rich.color import ColorSystem
    from rich.style import Style

    styles = {name: Style.parse(definition) for name, definition in STYLES.items()}
    for spans in lines:
        for text, style in spans:
            stream.write(styles[style].render(text, color_system=ColorSystem.STANDARD))
        stream.write("\n")
