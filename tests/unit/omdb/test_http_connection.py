"""One connection: kept from request to request, and given up when the server gives it up."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from canned_servers import LOOPBACK, CannedHttp, raw_server
from omdb_driver import NOW, omdb

from omdb import http_connection
from omdb.errors import OmdbError
from omdb.http_connection import HttpConnection
from omdb.log import Log
from omdb.urls import parse_base_url

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def connection_to(url: str) -> HttpConnection:
    return HttpConnection(parse_base_url(url), log=Log("warn", stream=io.StringIO(), now=lambda: NOW))


@pytest.fixture
def canned() -> CannedHttp:
    return CannedHttp({"GET /x": (200, {}), "POST /x": (200, {"a": 1})})


def test_one_connection_serves_many_requests(canned: CannedHttp) -> None:
    with canned.serve() as url:
        connection = connection_to(url)
        for _ in range(3):
            assert connection.exchange("GET", "/x").body == b"{}"
        assert connection.exchange("POST", "/x", b'"body"').body == b'{"a":1}'
        connection.close()
    assert canned.connections == 1
    request, headers, body = canned.requests[-1]
    assert (request, body) == ("POST /x", b'"body"')
    assert headers["content-type"] == "application/json"
    assert headers["host"] == url.removeprefix("http://")
    assert "content-type" not in canned.requests[0][1]


class Closing:
    """A server that closes each connection after one request, without saying that it will."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        self.requests.append(connection.recv(65_536))
        connection.sendall(OK)


@pytest.fixture
def closing() -> Iterator[tuple[Closing, str]]:
    server = Closing()
    with raw_server(server) as port:
        yield server, f"http://{LOOPBACK}:{port}"


def wait_until_closed(connection: HttpConnection) -> None:
    """Until the server's end has arrived, so that the next request meets it."""
    held = connection._socket
    assert held is not None
    assert held.recv(1) == b""


def test_a_get_is_sent_again_if_the_kept_connection_was_closed(closing: tuple[Closing, str]) -> None:
    server, url = closing
    connection = connection_to(url)
    connection.exchange("GET", "/x")
    wait_until_closed(connection)
    assert connection.exchange("GET", "/x").status == 200
    connection.close()
    assert len(server.requests) == 2


def test_a_post_is_not_sent_again(closing: tuple[Closing, str]) -> None:
    _, url = closing
    connection = connection_to(url)
    connection.exchange("GET", "/x")
    wait_until_closed(connection)
    with pytest.raises(OmdbError, match=r"closed the connection without answering.*; what was asked for may still be"):
        connection.exchange("POST", "/x")


def test_a_host_that_is_unknown() -> None:
    with pytest.raises(OmdbError, match=r"http://nowhere\.invalid:1 cannot be reached: host nowhere\.invalid: "):
        connection_to("http://nowhere.invalid:1").exchange("GET", "/x")


def test_a_server_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the answer never does."""
    monkeypatch.setattr(http_connection, "EXCHANGE_TIMEOUT_S", 0.3)

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        connection.settimeout(0.02)
        while True:
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                connection.sendall(b"x")

    with (
        raw_server(drip) as port,
        pytest.raises(OmdbError, match=r"no answer from .* within 0\.3 s \(only \d+ bytes came\)"),
    ):
        connection_to(f"http://{LOOPBACK}:{port}").exchange("GET", "/x")


@pytest.mark.parametrize(
    ("method", "ending"), [("GET", r"\(nothing came\)$"), ("POST", r"; what was asked for may still be done: look")]
)
def test_an_answer_that_does_not_come_leaves_open_what_was_done(
    monkeypatch: pytest.MonkeyPatch, method: str, ending: str
) -> None:
    monkeypatch.setattr(http_connection, "EXCHANGE_TIMEOUT_S", 0.1)
    with (
        raw_server(_swallow) as port,
        pytest.raises(OmdbError, match=rf"no answer from .* within 0\.1 s .*{ending}"),
    ):
        connection_to(f"http://{LOOPBACK}:{port}").exchange(method, "/x")


def _swallow(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def test_the_log_tells_of_requests(canned: CannedHttp) -> None:
    canned.answers["GET /bgtasks"] = (200, {})
    with canned.serve() as url:
        outcome = omdb("nexus", "background-tasks", "list", "--log-level", "debug", environ={"OMDB_NEXUS_URL": url})
    assert outcome.stderr.splitlines()[1:] == [
        f"Aug 12 20:21:26.500 DEBG client request, method: GET, uri: {url}/bgtasks",
        "Aug 12 20:21:26.500 DEBG client response, status: 200, bytes: 2",
    ]


def test_a_listing_that_never_ends_is_given_up(canned: CannedHttp) -> None:
    page = {"items": [{"id": "x", "state": {"state": "running"}}], "next_page": "again"}
    canned.answers = {"GET /sagas?limit=1000": (200, page), "GET /sagas?limit=1000&page_token=again": (200, page)}
    with canned.serve() as url:
        outcome = omdb("nexus", "sagas", "list", environ={"OMDB_NEXUS_URL": url})
    assert outcome.code == 1
    assert "listing sagas does not end" in outcome.stderr
    assert canned.connections == 1
