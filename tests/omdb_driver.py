"""Runs omdb commands in this process and keeps what they print."""

from __future__ import annotations

import io
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from omdb import cli

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2024, 8, 12, 20, 21, 26, 500_000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


class TerminalStream(io.StringIO):
    def isatty(self) -> bool:
        return True


def omdb(
    *arguments: str, environ: Mapping[str, str] | None = None, terminal: bool = False, typed: str | None = None
) -> Outcome:
    """As a user would, with `environ` as the whole environment; `terminal`: standard output is one.

    `typed` is what a person types at the terminal that then is standard input; else that is no terminal.
    """
    stdin = io.StringIO() if typed is None else TerminalStream(typed)
    stdout = TerminalStream() if terminal else io.StringIO()
    stderr = io.StringIO()
    code = cli.run(arguments, environ=environ or {}, stdin=stdin, stdout=stdout, stderr=stderr, now=lambda: NOW)
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def transcript(commands: Sequence[str], *, environ: Mapping[str, str] | None = None, typed: str | None = None) -> str:
    """What a golden file holds: each command line, its exit code, and what came on either stream."""
    return "\n".join(_entry(command, omdb(*shlex.split(command), environ=environ, typed=typed)) for command in commands)


def _entry(command: str, outcome: Outcome) -> str:
    heading = f"$ omdb {command}".rstrip()
    text = f"{'=' * 80}\n{heading}\nexit code: {outcome.code}\n"
    for name, printed in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if printed:
            text += f"--- {name}\n{printed}"
    return text
