from __future__ import annotations

import pytest

from simstack.errors import PostgresError
from simstack.server_settings import parse_settings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("work_mem=8MB", {"work_mem": "8MB"}),
        (
            "'default_transaction_isolation=repeatable read'  search_path=\"a = b\"",
            {"default_transaction_isolation": "repeatable read", "search_path": "a = b"},
        ),
    ],
)
def test_settings_as_a_shell_would_read_them(text: str, settings: dict[str, str]) -> None:
    assert parse_settings(text) == settings


@pytest.mark.parametrize("text", ["work_mem", "=8MB", "work_mem='8MB", "work_mem=8MB serializable"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(PostgresError) as raised:
        parse_settings(text)
    assert str(raised.value) == (
        f"SIMSTACK_POSTGRES_SETTINGS is {text!r}: expected NAME=VALUE, several separated by spaces"
    )
