"""Base URLs that are accepted. Those that are not are in `tests/golden/omdb/bad_urls.txt`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omdb.urls import parse_base_url


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "prefix"),
    [
        ("http://[::1]:12223", "::1", 12223, "[::1]:12223", ""),
        ("http://127.0.0.1:12223/", "127.0.0.1", 12223, "127.0.0.1:12223", ""),
        ("HTTP://localhost", "localhost", 80, "localhost", ""),
        ("http://[::1]", "::1", 80, "[::1]", ""),
        ("http://nexus.test:80/behind/proxy/", "nexus.test", 80, "nexus.test:80", "/behind/proxy"),
        ("http://[fe80::1%25eth0]:1", "fe80::1%eth0", 1, "[fe80::1]:1", ""),
        ("http://[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1]:1", ""),
    ],
)
def test_accepted(text: str, host: str, port: int, authority: str, prefix: str) -> None:
    url = parse_base_url(text)
    assert (url.host, url.port, url.authority, url.prefix) == (host, port, authority, prefix)
    assert str(url) == text


@given(st.text("http:/[]1.%@?# \n²", max_size=30).map("http://".__add__) | st.text(max_size=20))
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        url = parse_base_url(text)
    except ValueError:
        return
    assert url.host
    assert 0 < url.port < 65536
    assert all(c.isprintable() and c.isascii() and c != " " for c in url.authority + url.prefix)
