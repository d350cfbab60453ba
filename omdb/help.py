"""How a help page looks: what cyclopts has gathered, as lines of our own, so that colour changes nothing but colour."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

from rich.console import Console

from omdb.render.text import line

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import ConsoleOptions

    from omdb.render.text import Line

WIDTH = 80
"""Fixed: a page reads the same everywhere."""

_LABEL_WIDTH = 26
_MARGIN = 2


class HelpPage:
    """A `cyclopts.help.HelpFormatter` that gathers `lines` and prints nothing."""

    show_metavar = False

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        text = " ".join(_plain(usage, WIDTH)).removeprefix("Usage:").strip()
        self.lines.append(line(("Usage:", "heading"), f" {text}"))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        for paragraph in "\n".join(_plain(description, WIDTH)).split("\n\n"):
            self.lines += [(), *(line(text) for text in _wrap(paragraph, WIDTH))]

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if not panel.entries:
            return
        self.lines += [(), line((f"{panel.title}:", "heading"))]
        labels = [_label(entry) for entry in panel.entries]
        column = min(max(map(len, labels), default=0), _LABEL_WIDTH) + 2
        for label, entry in zip(labels, panel.entries, strict=True):
            first, *more = _explanation(entry, WIDTH - _MARGIN - column) or [""]
            if len(label) > _LABEL_WIDTH:
                self.lines.append(line("  ", (label, "option")))
                more.insert(0, first)
            else:
                self.lines.append(
                    line("  ", (label, "option"), *([" " * (column - len(label)) + first] if first else []))
                )
            self.lines += [line(" " * (_MARGIN + column) + text) for text in more]


def _label(entry: HelpEntry) -> str:
    names = (*entry.positive_shorts, *entry.positive_names, *entry.negative_names)
    label = entry.positional_label or ", ".join(names)
    return f"{label} {entry.metavar}" if entry.metavar and not entry.positional_label else label


def _explanation(entry: HelpEntry, width: int) -> list[str]:
    facts = []
    if entry.choices:
        facts.append(f"choices: {', '.join(entry.choices)}")
    if entry.env_var:
        facts.append(f"env: {', '.join(entry.env_var)}")
    if entry.default is not None:
        facts.append(f"default: {entry.default}")
    if entry.required:
        facts.append("required")
    text = " ".join(_plain(entry.description, WIDTH))
    return _wrap(" ".join((text, *(f"[{fact}]" for fact in facts))).strip(), width)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _plain(renderable: Any, width: int) -> list[str]:
    """The lines that rich would print."""
    if renderable is None:
        return []
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False).print(renderable)
    return [text.rstrip() for text in stream.getvalue().strip("\n").split("\n")]
