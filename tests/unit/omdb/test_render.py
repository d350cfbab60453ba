"""The small parts of what is printed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nexus.api.types import Duration
from omdb.errors import OmdbError
from omdb.options import Settings
from omdb.render import times
from omdb.render.tables import empty_table
from omdb.render.text import plain, printable
from omdb.safety import DestructiveToken, check_destructive
from omdb.task_selection import SHOWN_FIRST, select_tasks

TIME = datetime(2024, 8, 12, 20, 20, 41, 714_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("secs", "nanos", "text"),
    [
        (0, 0, "0s"),
        (60, 0, "1m"),
        (600, 0, "10m"),
        (5400, 0, "1h 30m"),
        (86_400, 0, "1day"),
        (2 * 86_400 + 1, 500_000_000, "2days 1s 500ms"),
        (31_557_600 + 2 * 2_630_016, 0, "1year 2months"),
        (0, 1_002_003, "1ms 2us 3ns"),
    ],
)
def test_durations_for_people(secs: int, nanos: int, text: str) -> None:
    assert times.human(Duration(secs, nanos)) == text


def test_times_are_cut_not_rounded() -> None:
    assert times.to_seconds(TIME) == "2024-08-12T20:20:41Z"
    assert times.to_milliseconds(TIME) == "2024-08-12T20:20:41.714Z"
    assert times.whole_milliseconds(Duration(1, 999_999)) == 1000
    assert times.whole_seconds_since(TIME, datetime(2024, 8, 12, 20, 20, 43, tzinfo=UTC)) == 1
    assert times.whole_seconds_since(TIME, datetime(2024, 8, 12, 20, 20, 40, tzinfo=UTC)) == -1
    assert times.whole_milliseconds_since(TIME, datetime(2024, 8, 12, 20, 20, 43, tzinfo=UTC)) == 1285


def test_a_table_pads_every_cell() -> None:
    assert plain(empty_table(("A", "LONG"), [("long", "b"), ("", ("c\n", "failed"))])) == (
        "A    LONG \nlong b    \n     c\\n  \n"
    )
    assert plain(empty_table(("A", "B"), [])) == "A B \n"


def test_control_characters_are_shown() -> None:
    assert printable("plain ünïcode") == "plain ünïcode"
    assert printable("a\x1b[2J\r\n\u202e") == r"a\x1b[2J\r\n\u202e"


TASKS = ["blueprint_loader", "dns_config_external", "dns_config_internal", "dns_servers_internal", "a", "z"]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ((), ["dns_config_internal", "dns_servers_internal", "dns_config_external", "blueprint_loader", "a", "z"]),
        (
            ("all", "a"),
            ["dns_config_internal", "dns_servers_internal", "dns_config_external", "blueprint_loader", "a", "z"],
        ),
        (("z", "dns_internal", "z"), ["dns_config_internal", "dns_servers_internal", "z"]),
        (("dns_external", "a"), ["dns_config_external", "a"]),
    ],
)
def test_tasks_are_selected_in_upstreams_order(selectors: tuple[str, ...], expected: list[str]) -> None:
    assert select_tasks(selectors, TASKS) == expected
    assert set(SHOWN_FIRST) - set(TASKS)  # and those that are not simulated are no trouble


def test_a_task_that_does_not_exist_is_named() -> None:
    with pytest.raises(
        OmdbError, match=r'unknown task name: "b" \(known task names: all, dns_external, dns_internal, a'
    ):
        select_tasks(("a", "b"), TASKS)


def test_nobody_else_makes_a_token() -> None:
    with pytest.raises(OmdbError, match="destructive"):
        check_destructive(Settings({}, {}))
    with pytest.raises(AssertionError):
        DestructiveToken(object())
