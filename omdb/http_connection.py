"""One HTTP/1.1 connection on a blocking socket: kept open from request to request, and never waited on for ever."""

from __future__ import annotations

import socket

from omdb.deadline import Deadline
from omdb.errors import OmdbError, reason
from omdb.http_response import ConnectionEnded, NotHttp, Response, ResponseReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from omdb.log import Log
    from omdb.urls import BaseUrl

CONNECT_TIMEOUT_S = 15.0
EXCHANGE_TIMEOUT_S = 30.0
"""From the first byte sent to the last received. Whoever waits longer at a terminal has reason to doubt the server."""

_READ_BYTES = 65_536


class NothingListens(OmdbError):
    """Every address of the host refused the connection: there is no server, though a machine that says so."""


class HttpConnection:
    """Connects when it is first used. Every failure is an OmdbError that names the URL.

    `timeout_s` is for each connection and each exchange, where the usual ones are too long.
    """

    def __init__(self, url: BaseUrl, *, log: Log, timeout_s: float | None = None) -> None:
        self._url = url
        self._log = log
        self._connect_timeout_s = timeout_s or CONNECT_TIMEOUT_S
        self._exchange_timeout_s = timeout_s or EXCHANGE_TIMEOUT_S
        self._socket: socket.socket | None = None

    def exchange(self, method: str, path: str, body: bytes = b"") -> Response:
        """Send one request, read the response.

        A server may close a kept-alive connection at any time between two requests, so a GET is sent once more on a
        new connection if the old one gave not a single byte.
        """
        request = self._request_bytes(method, path, body)
        self._log.debug("client request", method=method, uri=f"{self._url}{path}")
        reader = ResponseReader()
        kept = self._socket is not None
        try:
            try:
                response = self._attempt(request, reader)
            except (ConnectionEnded, ConnectionError):
                if not kept or reader.received or method != "GET":
                    raise
                self.close()
                reader = ResponseReader()
                response = self._attempt(request, reader)
        except NotHttp as error:
            self.close()
            raise OmdbError(f"what answers at {self._url} is not a proper HTTP server: {error}") from None
        except (ConnectionEnded, ConnectionError):
            self.close()
            raise OmdbError(_left_open(method, self._ended_text(reader))) from None
        except TimeoutError:
            self.close()
            came = f"only {reader.received} bytes came" if reader.received else "nothing came"
            text = f"no answer from {self._url} within {self._exchange_timeout_s:g} s ({came})"
            raise OmdbError(_left_open(method, text)) from None
        except OSError as error:
            self.close()
            raise OmdbError(f"the connection to {self._url} failed: {reason(error)}") from None
        if not response.reusable:
            self.close()
        self._log.debug("client response", status=str(response.status), bytes=str(len(response.body)))
        return response

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _request_bytes(self, method: str, path: str, body: bytes) -> bytes:
        head = (
            f"{method} {self._url.prefix}{path} HTTP/1.1\r\nhost: {self._url.authority}\r\naccept: application/json\r\n"
        )
        if body:
            head += "content-type: application/json\r\n"
        if method != "GET":
            head += f"content-length: {len(body)}\r\n"
        return head.encode("ascii") + b"\r\n" + body

    def _attempt(self, request: bytes, reader: ResponseReader) -> Response:
        if self._socket is None:
            self._socket = self._connect()
        deadline = Deadline(self._exchange_timeout_s)
        self._socket.settimeout(deadline.remaining_s())
        self._socket.sendall(request)
        while True:
            self._socket.settimeout(deadline.remaining_s())
            response = reader.feed(self._socket.recv(_READ_BYTES))
            if response is not None:
                return response

    def _connect(self) -> socket.socket:
        """Tries every address of the host in turn."""
        host, port = self._url.host, self._url.port
        try:
            # As bytes: of text, even of an address, Python would make sure first that it is a proper international
            # name, and load the tables for that.
            addresses = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise OmdbError(f"{self._url} cannot be reached: host {host}: {reason(error)}") from None
        deadline = Deadline(self._connect_timeout_s)
        failure = "it has no address"
        refusals = 0
        for family, kind, protocol, _, address in addresses:
            try:
                return _connect_to(address, family=family, kind=kind, protocol=protocol, deadline=deadline)
            except TimeoutError:
                failure = f"no answer within {self._connect_timeout_s:g} s"
                break
            except OSError as error:
                failure = reason(error)
                refusals += isinstance(error, ConnectionRefusedError)
        text = f"no server answers at {self._url}: {failure}"
        raise NothingListens(text) if refusals == len(addresses) else OmdbError(text)

    def _ended_text(self, reader: ResponseReader) -> str:
        if not reader.received:
            return f"the server at {self._url} closed the connection without answering; is it an HTTP server?"
        return f"the server at {self._url} closed the connection in the middle of its answer"


def _left_open(method: str, text: str) -> str:
    """A request that changes something may have arrived all the same."""
    return text if method == "GET" else f"{text}; what was asked for may still be done: look before you ask again"


def _connect_to(address: Any, *, family: int, kind: int, protocol: int, deadline: Deadline) -> socket.socket:
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(deadline.remaining_s())
        connection.connect(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection
