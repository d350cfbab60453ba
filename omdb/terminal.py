"""Where rendered lines become characters: plain ones, or coloured by rich. rich is loaded only if there is colour."""

from __future__ import annotations

from omdb.render.text import STYLES, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from rich.console import Console

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
    from rich.text import Text

    console = color_console(stream)
    for spans in lines:
        text = Text.assemble(*((text, STYLES[style]) for text, style in spans))
        console.print(text, soft_wrap=True)


def color_console(stream: TextIO) -> Console:
    """Colours whatever it prints, without looking at the environment, and changes nothing else about it."""
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=True,
        color_system="standard",
        no_color=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
