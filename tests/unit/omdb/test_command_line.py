"""The first look at the command line, and that cyclopts agrees where it would have had nothing to parse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omdb.cli import _runs_without_arguments
from omdb.command_line import read_command_line
from omdb.errors import UsageError
from omdb.grammar import bind
from omdb.options import COLOR, DESTRUCTIVE, DNS_SERVER, LOG_LEVEL, NEXUS_URL, Option
from omdb.tree import ROOT, Command, Group

LIST = ("nexus", "sagas", "list")


@pytest.mark.parametrize(
    "line",
    [
        "--destructive nexus sagas list --color never",
        "-w --color=never nexus sagas list",
        "nexus --color never sagas -w list",
        "nexus sagas list --color never --destructive -w",
    ],
)
def test_options_stand_anywhere(line: str) -> None:
    read = read_command_line(line.split(), {})
    assert (read.path, read.rest, read.help) == (LIST, (), False)
    assert read.settings.has(DESTRUCTIVE)
    assert read.settings[COLOR] == "never"


OPTIONS: dict[Option, list[str]] = {
    DESTRUCTIVE: ["-w"],
    COLOR: ["--color", "never"],
    LOG_LEVEL: ["--log-level=debug"],
    DNS_SERVER: ["--dns-server", "[::1]:53"],
    NEXUS_URL: ["--nexus-internal-url", "http://[::1]:12223"],
}


@given(
    st.lists(st.sampled_from(list(OPTIONS)), unique=True).flatmap(
        lambda options: st.permutations([[word] for word in LIST] + [OPTIONS[option] for option in options])
    )
)
def test_order_means_nothing_but_for_the_words(parts: list[list[str]]) -> None:
    words = [part[0] for part in parts if part[0] in LIST]
    read = read_command_line([token for part in parts for token in part], {})
    if words == list(LIST):
        assert (read.path, read.rest) == (LIST, ())
    else:
        assert (*read.path, *read.rest) == tuple(words)
    for option, tokens in OPTIONS.items():
        assert read.settings.has(option) == (tokens in parts)


@pytest.mark.parametrize(
    ("line", "path", "rest"),
    [
        ("nexus sagas demo-complete list", ("nexus", "sagas", "demo-complete"), ("list",)),
        ("nexus sagas demo-complete help", ("nexus", "sagas", "demo-complete"), ("help",)),
        ("nexus sagas demo-complete -- -w --help", ("nexus", "sagas", "demo-complete"), ("--", "-w", "--help")),
        ("--unknown nexus sagas list", LIST, ("--unknown",)),
        ("nexus nonsense sagas list", ("nexus",), ("nonsense", "sagas", "list")),
        ("nexus background-tasks show a --no-executing-info b", ("nexus", "background-tasks", "show"), None),
    ],
)
def test_what_is_left_is_left_in_order(line: str, path: tuple[str, ...], rest: tuple[str, ...] | None) -> None:
    read = read_command_line(line.split(), {})
    assert read.path == path
    assert read.rest == (("a", "--no-executing-info", "b") if rest is None else rest)
    assert not read.help


@pytest.mark.parametrize(
    "line", ["help", "-h", "--help", "nexus help", "help nexus", "nexus sagas list --help", "-h -w"]
)
def test_help(line: str) -> None:
    assert read_command_line(line.split(), {}).help


def test_an_option_beats_a_variable_and_that_the_default() -> None:
    environ = {"LOG_LEVEL": "Debug", "OMDB_NEXUS_URL": "", "OMDB_DNS_SERVER": "[::1]:53"}
    settings = read_command_line(["--log-level", "INFO"], environ).settings
    assert settings[LOG_LEVEL] == "info"
    assert settings.origin(LOG_LEVEL) == "--log-level"
    assert settings[DNS_SERVER] == "[::1]:53"
    assert settings.origin(DNS_SERVER) == "OMDB_DNS_SERVER"
    assert settings[NEXUS_URL] is None
    assert read_command_line([], environ).settings[LOG_LEVEL] == "debug"
    assert read_command_line([], {}).settings[LOG_LEVEL] == "warn"


@given(st.lists(st.sampled_from([*LIST, "help", "-w", "--color", "--color=x", "--", "-", "", "x", "-h", "--x=y"])))
def test_any_line_is_read_or_is_a_usage_error(tokens: list[str]) -> None:
    try:
        line = read_command_line(tokens, {})
    except UsageError:
        return
    ROOT.find(line.path)


def commands(node: Group = ROOT, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Command]]:
    found: list[tuple[tuple[str, ...], Command]] = []
    for word, below in node.commands.items():
        found += commands(below, (*path, word)) if isinstance(below, Group) else [((*path, word), below)]
    return found


@pytest.mark.parametrize(("path", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in commands()])
def test_cyclopts_finds_nothing_to_parse_where_it_is_left_out(path: tuple[str, ...], command: Command) -> None:
    line = read_command_line(path, {})
    if _runs_without_arguments(command.load()):
        assert bind(line) == ((), {})
    else:
        with pytest.raises(UsageError, match="Missing argument"):
            bind(line)
