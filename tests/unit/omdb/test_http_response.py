"""Responses read from bytes: whole, in pieces, cut off, and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omdb.http_response import ConnectionEnded, NotHttp, Response, ResponseReader

COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\nx: b\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\nhel\r\n002\r\nlo\r\n0\r\ntrailer: yes\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + COUNTED
BARE_NEWLINES = b"HTTP/1.1 200\ncontent-length: 5\n\nhello"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 5\r\n\r\nhello"
OLD = b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhello"


def read(*pieces: bytes) -> Response:
    reader = ResponseReader()
    for piece in pieces:
        response = reader.feed(piece)
        if response is not None:
            return response
    raise AssertionError("the response is not complete")


@pytest.mark.parametrize(
    ("data", "status", "body", "reusable"),
    [
        (COUNTED, 200, b"hello", True),
        (CHUNKED, 200, b"hello", True),
        (EMPTY, 204, b"", True),
        (INTERIM, 200, b"hello", True),
        (BARE_NEWLINES, 200, b"hello", True),
        (CLOSING, 200, b"hello", False),
        (OLD, 200, b"hello", False),
        (COUNTED + b"more", 200, b"hello", False),
    ],
)
def test_a_response_in_whatever_pieces(data: bytes, status: int, body: bytes, reusable: bool) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))], [data[:20], data[20:40], data[40:]]):
        response = read(*pieces)
        assert (response.status, response.body) == (status, body)
    assert read(data).reusable is reusable


def test_a_body_that_ends_with_the_connection() -> None:
    response = read(UNTIL_THE_END, b"!", b"")
    assert (response.body, response.reusable) == (b"hello!", False)


def test_headers() -> None:
    response = read(COUNTED)
    assert response.reason == "OK"
    assert response.headers == {"content-length": "5", "x": "a, b"}


@pytest.mark.parametrize("data", [COUNTED, CHUNKED, EMPTY, INTERIM])
def test_cut_off_anywhere(data: bytes) -> None:
    for end in range(len(data)):
        reader = ResponseReader()
        if end:
            assert reader.feed(data[:end]) is None
        assert reader.received == end
        with pytest.raises(ConnectionEnded):
            reader.feed(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"HTTPS",
        b"SSH-2.0",
        b"HTTP/2.0 200 OK\r\n",
        b"HTTP/1.1 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 ²00 OK\r\n".encode("latin-1"),
        b"HTTP/1.1 200 OK\r\nname : x\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
    ],
)
def test_what_is_no_http(data: bytes) -> None:
    with pytest.raises(NotHttp):
        read(data)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(b"HTTP/1.1 200 OK\r\n".__add__), st.integers(1, 50))
def test_noise_is_told_apart_or_waited_out(data: bytes, size: int) -> None:
    reader = ResponseReader()
    try:
        for start in range(0, len(data), size):
            if reader.feed(data[start : start + size]):
                return
        reader.feed(b"")
    except (NotHttp, ConnectionEnded):
        pass
