"""Pages of a listing: `limit` and `page_token` in the query string, `next_page` in the answer.

A token is URL-safe base64, padded, of `{"v":"v1","page_start":{"sort_by":"id_ascending","last_seen":"<uuid>"}}`: the
scan's parameters and the last item that the client has seen. A page that is not empty always has a next one, so a
client ends with one request that brings nothing.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import UUID

import msgspec

from dropshot.errors import HttpError, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000
MAX_TOKEN_CHARACTERS = 512
_U32_MAX = 2**32 - 1
_URL_SAFE = re.compile("[A-Za-z0-9_-]*={0,2}", flags=re.ASCII)


class PageParams(NamedTuple):
    """At most `limit` items, in id order, with ids strictly greater than `last_seen`."""

    limit: int
    last_seen: UUID | None


def parse_page_params(query: Mapping[str, Sequence[str]]) -> PageParams:
    """Read the query string of a listing by id. With a token, all other parameters but `limit` are ignored.

    Raises HttpError 400.
    """
    limit = _limit(_one(query, "limit"))
    token = _one(query, "page_token")
    if token is not None:
        return PageParams(limit, _parse_token(token))
    sort_by = _one(query, "sort_by")
    if sort_by not in (None, "id_ascending"):
        raise _bad_query(f'unknown sort_by "{sort_by}", expected "id_ascending"')
    return PageParams(limit, None)


def next_page_token(last_item: UUID | None) -> str | None:
    """The token for what follows `last_item`; None (the page was empty) gives None."""
    if last_item is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(_Token("v1", _PageStart("id_ascending", last_item)))).decode()


class _PageStart(msgspec.Struct, frozen=True):
    sort_by: Literal["id_ascending"]
    last_seen: UUID


class _Token(msgspec.Struct, frozen=True):
    v: str
    page_start: _PageStart


class _TokenVersion(msgspec.Struct, frozen=True):
    v: str


def _parse_token(text: str) -> UUID:
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise _bad_query(f"page_token: too large: more than {MAX_TOKEN_CHARACTERS} characters")
    try:
        if _URL_SAFE.fullmatch(text) is None:
            raise ValueError
        data = base64.urlsafe_b64decode(text)
    except ValueError:
        raise _bad_query("page_token: not URL-safe base64") from None
    try:
        version = msgspec.json.decode(data, type=_TokenVersion).v
        if version != "v1":
            raise _bad_query(f'page_token: unsupported version "{version}"')
        return msgspec.json.decode(data, type=_Token).page_start.last_seen
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _bad_query("page_token: corrupted token") from None


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if re.fullmatch("[0-9]{1,10}", text) is None or not 1 <= int(text) <= _U32_MAX:
        raise _bad_query(f'limit: expected a whole number from 1 to {_U32_MAX}, got "{text}"')
    return min(int(text), MAX_LIMIT)


def _one(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise _bad_query(f"{name}: given {len(values)} times")
    return values[0] if values else None


def _bad_query(reason: str) -> HttpError:
    return bad_request(f"unable to parse query string: {reason}")
