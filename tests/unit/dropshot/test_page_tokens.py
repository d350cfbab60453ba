"""Query strings and tokens of a paginated listing."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest

from dropshot.errors import HttpError
from dropshot.pagination import DEFAULT_LIMIT, MAX_LIMIT, PageParams, next_page_token, parse_page_params

LAST = UUID("f7765d6a-6e45-4c13-8904-2677b79a97eb")


def refusal(query: dict[str, list[str]]) -> str:
    with pytest.raises(HttpError) as caught:
        parse_page_params(query)
    assert (caught.value.status, caught.value.error_code) == (400, None)
    prefix = "unable to parse query string: "
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


def test_token_is_the_json_that_upstream_makes() -> None:
    token = next_page_token(LAST)
    assert token is not None
    assert base64.urlsafe_b64decode(token) == (
        b'{"v":"v1","page_start":{"sort_by":"id_ascending","last_seen":"f7765d6a-6e45-4c13-8904-2677b79a97eb"}}'
    )
    assert len(token) % 4 == 0, "padded"
    assert next_page_token(None) is None


def test_token_resumes_after_the_last_item_seen() -> None:
    token = next_page_token(LAST)
    assert token is not None
    assert parse_page_params({"page_token": [token]}) == PageParams(DEFAULT_LIMIT, LAST)
    assert parse_page_params({"page_token": [token], "limit": ["3"], "sort_by": ["nonsense"]}) == PageParams(3, LAST)


def test_limits() -> None:
    assert parse_page_params({}) == PageParams(DEFAULT_LIMIT, None)
    assert parse_page_params({"limit": ["1"], "sort_by": ["id_ascending"]}) == PageParams(1, None)
    assert parse_page_params({"limit": ["4294967295"]}).limit == MAX_LIMIT
    for bad in ("0", "-1", "+1", "1.0", "", "ten", "4294967296", "9" * 5000, "\u0663"):
        assert refusal({"limit": [bad]}).startswith("limit: expected a whole number from 1 to 4294967295")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("A" * 513, "page_token: too large: more than 512 characters"),
        ("A" * 512, "page_token: corrupted token"),
        ("not base64", "page_token: not URL-safe base64"),
        ("ü", "page_token: not URL-safe base64"),
        ("abc", "page_token: not URL-safe base64"),
        ("+/+/", "page_token: not URL-safe base64"),
        (base64.urlsafe_b64encode(b"{}").decode(), "page_token: corrupted token"),
        (base64.urlsafe_b64encode(b"\xff\xfe").decode(), "page_token: corrupted token"),
        (
            base64.urlsafe_b64encode(b'{"v":"v1","page_start":{"last_seen":"x"}}').decode(),
            "page_token: corrupted token",
        ),
        (base64.urlsafe_b64encode(b'{"v":"v2"}').decode(), 'page_token: unsupported version "v2"'),
    ],
)
def test_bad_tokens(token: str, reason: str) -> None:
    assert refusal({"page_token": [token]}) == reason


def test_other_faults() -> None:
    assert refusal({"sort_by": ["name"]}) == 'unknown sort_by "name", expected "id_ascending"'
    assert refusal({"limit": ["1", "2"]}) == "limit: given 2 times"
