"""One HTTP/1.1 request on trio, with h11 for the protocol. No pool, no redirects, no TLS."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dropshot.address import SocketAddr

MAX_RESPONSE_BYTES = 256 * 1024 * 1024
_RECEIVE_BYTES = 64 * 1024


class ClientError(Exception):
    """A request that got no whole answer. The message names the address and what went wrong."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, whatever its status. Header names are lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that (lower case) name."""
        return next((value for key, value in self.headers if key == name), None)


async def request(
    addr: SocketAddr,
    method: str,
    path: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    timeout_s: float,
) -> Response:
    """Send one request on a connection of its own and read the whole answer.

    A body goes out as `application/json` unless `headers` say otherwise. Raises ClientError. Cancelling is safe; what
    the server then did is unknown.
    """
    sent = [("host", str(addr)), ("connection", "close"), *headers]
    if body:
        if all(name.lower() != "content-type" for name, _ in headers):
            sent.append(("content-type", "application/json"))
        sent.append(("content-length", str(len(body))))
    try:
        with trio.fail_after(timeout_s):
            async with await _connect(addr) as stream:
                return await _exchange(stream, h11.Request(method=method, target=path, headers=sent), body)
    except trio.TooSlowError:
        raise ClientError(f"{addr}: no answer within {timeout_s:g} seconds") from None
    except OSError as exc:
        raise ClientError(f"{addr}: {os.strerror(exc.errno) if exc.errno else exc}") from exc
    except trio.BrokenResourceError as exc:
        raise ClientError(f"{addr}: connection lost: {exc.__cause__ or exc}") from exc
    except h11.RemoteProtocolError as exc:
        raise ClientError(f"{addr}: not a proper HTTP answer: {exc}") from exc


async def _connect(addr: SocketAddr) -> trio.SocketStream:
    sock = trio.socket.socket(socket.AF_INET6 if addr.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        await sock.connect((addr.host, addr.port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def _exchange(stream: trio.SocketStream, head: h11.Request, body: bytes) -> Response:
    connection = h11.Connection(h11.CLIENT)
    events: list[h11.Event] = [head, h11.Data(data=body), h11.EndOfMessage()]
    outgoing = b"".join(connection.send(event) or b"" for event in events)
    answer: h11.Response | None = None
    received = bytearray()
    try:
        await stream.send_all(outgoing)
    except trio.BrokenResourceError:
        # A server may refuse and close before it has read everything; its answer can still be there to read.
        connection.send_failed()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(_RECEIVE_BYTES))
        elif isinstance(event, h11.Response):
            answer = event
        elif isinstance(event, h11.Data):
            received += event.data
            if len(received) > MAX_RESPONSE_BYTES:
                raise h11.RemoteProtocolError(f"more than {MAX_RESPONSE_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            if answer is None:
                raise h11.RemoteProtocolError("the connection was closed before an answer came")
            pairs = ((name.decode("latin1"), value.decode("latin1")) for name, value in answer.headers)
            return Response(answer.status_code, tuple(pairs), bytes(received))
