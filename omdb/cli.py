"""From the command line to the exit code.

    command_line.py ── what is left for the command? ──┬─ nothing ──> the command's function
                                                       └─ arguments, or a request for help ──> grammar.py ──> ...

What `python -m omdb nexus sagas list` loads is kept small on purpose: no cyclopts, no rich, no msgspec, no typing. A
test holds it to that (`tests/unit/omdb/test_start_up.py`). Hence `TYPE_CHECKING = False` in these modules, which type
checkers understand as the one of `typing`, and classes with `__slots__` where elsewhere there would be a dataclass.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from dropshot.release import RELEASE
from omdb.command_line import check_settings, read_command_line
from omdb.errors import OmdbError, reason
from omdb.options import COLOR, VERSION
from omdb.render.text import printable
from omdb.session import Session
from omdb.terminal import Terminal, wants_color
from omdb.tree import ROOT, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import Any, TextIO

    from omdb.command_line import CommandLine


BACKTRACE_VARIABLE = "OMDB_BACKTRACE"

FAILED = 1
USAGE = 2
BROKEN_PIPE = 141
"""As if SIGPIPE had ended the process."""


def run(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str] = os.environ,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    now: Callable[[], datetime] | None = None,
) -> int:
    """The exit code. Every error is printed, none is raised."""
    stdin = stdin or sys.stdin
    stdout, stderr = _open(stdout or sys.stdout), _open(stderr or sys.stderr)
    try:
        code = _run(arguments, environ=environ, stdin=stdin, stdout=stdout, stderr=stderr, now=now or _now)
        stdout.flush()
        stderr.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        code = FAILED
        _last_words(f"Error: the output cannot be written: {reason(error)}\n")
    _let_go(stdout)
    _let_go(stderr)
    return code


def dispatch(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    stdin: TextIO | None,
    stdout: TextIO,
    stderr: TextIO,
    now: Callable[[], datetime],
) -> int:
    """Run the command that was typed. Raises OmdbError for what the user is to be told."""
    line = read_command_line(arguments, environ)
    if line.settings.has(VERSION):
        stdout.write(f"omdb {RELEASE}\n")
        return 0
    if not line.help:
        check_settings(line)
    node = ROOT.find(line.path)
    if isinstance(node, Group) and line.rest:
        from omdb.grammar import explain_unknown

        raise explain_unknown(line)
    if isinstance(node, Group) or line.help:
        from omdb.grammar import help_page

        stream = stdout if line.help else stderr
        _terminal(line, stream, environ).write(help_page(line.path))
        return 0 if line.help else USAGE
    function = node.load()
    positional, named = _arguments(line, function)
    with Session(line.settings, environ=environ, stdin=stdin, stdout=stdout, stderr=stderr, now=now) as session:
        return function(*positional, **named, session=session)


def _arguments(line: CommandLine, function: Callable[..., int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not line.rest and _runs_without_arguments(function):
        return (), {}
    from omdb.grammar import bind

    return bind(line)


def _run(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    stdin: TextIO | None,
    stdout: TextIO,
    stderr: TextIO,
    now: Callable[[], datetime],
) -> int:
    try:
        return dispatch(arguments, environ=environ, stdin=stdin, stdout=stdout, stderr=stderr, now=now)
    except OmdbError as error:
        stdout.flush()
        stderr.write(f"Error: {error}\n")
        return error.exit_code
    except OSError:
        raise  # a command translates its own: this one is about stdout or stderr
    except Exception as error:
        if environ.get(BACKTRACE_VARIABLE):
            raise
        stdout.flush()
        text = printable(f"{type(error).__name__}: {error}")
        stderr.write(f"Error: a bug in omdb, please report it: {text} ({BACKTRACE_VARIABLE}=1 shows where)\n")
        return FAILED


def _runs_without_arguments(function: Callable[..., int]) -> bool:
    """Whether all it takes, but for the session, may be left out: then there is nothing to parse.

    As `inspect.signature` would tell, which takes 10 ms to import.
    """
    code = function.__code__
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return code.co_argcount == len(function.__defaults__ or ()) and all(
        name == "session" or name in (function.__kwdefaults__ or {}) for name in named
    )


def _terminal(line: CommandLine, stream: TextIO, environ: Mapping[str, str]) -> Terminal:
    return Terminal(stream, colored=wants_color(line.settings[COLOR] or "auto", stream=stream, environ=environ))


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _open(stream: TextIO | None) -> TextIO:
    """For whatever was closed by who started us, a place to write to. What the encoding lacks is escaped."""
    if stream is None:
        return open(os.devnull, "w")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _let_go(stream: TextIO) -> None:
    """What could not be written is not tried again when the interpreter ends, which would complain of it."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _last_words(text: str) -> None:
    try:
        os.write(2, text.encode(errors="backslashreplace"))
    except OSError:
        return
