"""Colour: when there is any, and that it is all that a terminal gets beyond what a pipe gets."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from canned_servers import CannedHttp
from canned_tasks import HEALTHY, ODD
from hypothesis import given
from hypothesis import strategies as st
from omdb_driver import TerminalStream, omdb

from omdb.render.tables import empty_table
from omdb.render.text import STYLES, indent
from omdb.terminal import Terminal, wants_color

if TYPE_CHECKING:
    from omdb.render.text import Span

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")

SAGAS = {
    "items": [
        {"id": f"{number:08}-0000-4000-8000-000000000000", "state": {"state": state}}
        for number, state in enumerate(("running", "succeeded", "failed", "stuck", "new\x1b[31m"))
    ],
    "next_page": None,
}


@pytest.mark.parametrize(
    "command",
    [
        "nexus sagas list",
        "nexus background-tasks list",
        "nexus background-tasks show",
        "nexus background-tasks doc",
        "nexus --help",
        "nexus background-tasks show --help",
    ],
)
def test_a_terminal_shows_what_a_pipe_gets(command: str) -> None:
    answers: dict[str, tuple[int, object]] = {
        "GET /sagas?limit=1000": (200, SAGAS),
        "GET /bgtasks": (200, {**ODD, **HEALTHY, "odd_details": ODD["dns_propagation_internal"]}),
    }
    with CannedHttp(answers).serve() as url:
        piped = omdb(*command.split(), environ={"OMDB_NEXUS_URL": url})
        shown = omdb(*command.split(), environ={"OMDB_NEXUS_URL": url}, terminal=True)
    assert "\x1b" not in piped.stdout
    assert "\x1b" in shown.stdout
    assert ESCAPE.sub("", shown.stdout) == piped.stdout
    assert (shown.code, shown.stderr) == (piped.code, piped.stderr)


def test_states_are_coloured() -> None:
    with CannedHttp({"GET /sagas?limit=1000": (200, SAGAS)}).serve() as url:
        shown = omdb("nexus", "sagas", "list", "--color", "always", environ={"OMDB_NEXUS_URL": url})
    for state, color in {"running": 33, "succeeded": 32, "failed": 31, "stuck": 31}.items():
        assert re.search(rf"\x1b\[(1;)?{color}m{state}", shown.stdout), state
    assert r"new\x1b[31m" in shown.stdout


@pytest.mark.parametrize(
    ("choice", "terminal", "environ", "expected"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", True, {"TERM": "xterm"}, True),
        ("always", False, {"NO_COLOR": "1", "TERM": "dumb"}, True),
        ("never", True, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_when_there_is_colour(choice: str, terminal: bool, environ: dict[str, str], expected: bool) -> None:
    stream = TerminalStream() if terminal else io.StringIO()
    assert wants_color(choice, stream=stream, environ=environ) is expected


spans = st.tuples(st.text(max_size=300), st.sampled_from(sorted(STYLES)))


@given(st.lists(st.tuples(spans, spans, spans), max_size=5), st.integers(0, 8))
def test_colour_adds_nothing_else_to_a_table(rows: list[tuple[Span, ...]], columns: int) -> None:
    lines = indent(empty_table(("A", "LONGER", "B"), rows), columns)
    plain, colored = io.StringIO(), io.StringIO()
    Terminal(plain, colored=False).write(lines)
    Terminal(colored, colored=True).write(lines)
    assert ESCAPE.sub("", colored.getvalue()) == plain.getvalue()
