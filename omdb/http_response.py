"""Bytes to an HTTP/1.1 response. No I/O: the connection feeds what arrives and looks whether it is complete.

Not `http.client`, for two reasons: importing it takes longer than all of `omdb nexus sagas list`, and it lets a server
that sends one byte a minute keep a command for ever. Only what a client of JSON APIs needs: a body that is counted,
chunked, or ends with the connection; interim responses are passed over. Everything is bounded.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 1 << 30
"""More than any listing of a Nexus that works; less than what would take the debugger's machine down."""


class NotHttp(Exception):
    """What arrived is no HTTP/1.1 response. `str()` says what it is instead, or what is wrong with it."""


class ConnectionEnded(Exception):
    """The server closed the connection before the response was complete."""


class Response:
    """`reusable` says whether another request may follow on the same connection."""

    __slots__ = ("body", "headers", "reason", "reusable", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str], body: bytes, *, reusable: bool) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        """By lower-case name; of a repeated header, the values joined by a comma."""
        self.body = body
        self.reusable = reusable


class ResponseReader:
    """Reads the response to one request.

    Call `feed` with what the socket gave, `b""` for its end, until it returns the response.
    """

    def __init__(self) -> None:
        self.received = 0
        """How many bytes were fed."""
        self._buffer = bytearray()
        self._ended = False
        self._steps = self._read()
        next(self._steps)

    def feed(self, data: bytes) -> Response | None:
        """Raises NotHttp and ConnectionEnded."""
        self.received += len(data)
        self._buffer += data
        self._ended = not data
        try:
            next(self._steps)
        except StopIteration as done:
            response: Response = done.value
            return response
        return None

    def _read(self) -> Generator[None, None, Response]:
        """Yields whenever more bytes are needed."""
        version, status, reason = yield from self._status_line()
        headers = yield from self._headers()
        while 100 <= status < 200:
            version, status, reason = yield from self._status_line()
            headers = yield from self._headers()
        closes = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
        length = headers.get("content-length")
        if status in (204, 304):
            body = b""
        elif "transfer-encoding" in headers:
            body = yield from self._chunks(headers["transfer-encoding"])
        elif length is not None:
            body = yield from self._take(_content_length(length))
        else:
            body = yield from self._take_all()
            closes = True
        return Response(status, reason, headers, body, reusable=not closes and not self._buffer)

    def _status_line(self) -> Generator[None, None, tuple[str, int, str]]:
        expected = b"HTTP/1."
        while len(self._buffer) < len(expected):
            yield from self._more()
            if not expected.startswith(self._buffer[: len(expected)]):
                break
        if not self._buffer.startswith(expected):
            raise NotHttp(f"it sent {_excerpt(self._buffer)}")
        line = yield from self._line(MAX_HEAD_BYTES)
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.0", "HTTP/1.1") or not _is_number(status) or len(status) != 3:
            raise NotHttp(f"it sent {line!r}")
        return version, int(status), reason

    def _headers(self) -> Generator[None, None, dict[str, str]]:
        headers: dict[str, str] = {}
        left = MAX_HEAD_BYTES
        while line := (yield from self._line(left)):
            left -= len(line)
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise NotHttp(f"it sent {line!r} among the headers")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    def _chunks(self, encoding: str) -> Generator[None, None, bytes]:
        if encoding.lower() != "chunked":
            raise NotHttp(f"it sent a body in the unknown transfer encoding {encoding!r}")
        body = bytearray()
        while True:
            line = yield from self._line(MAX_HEAD_BYTES)
            size = _chunk_size(line)
            if size == 0:
                yield from self._headers()
                return bytes(body)
            if len(body) + size > MAX_BODY_BYTES:
                raise NotHttp(f"its answer is longer than {MAX_BODY_BYTES} bytes")
            body += yield from self._take(size)
            if (yield from self._line(MAX_HEAD_BYTES)):
                raise NotHttp("it sent a chunk that is longer than it says")

    def _line(self, limit: int) -> Generator[None, None, str]:
        """Up to the next line end, without it."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                raise NotHttp(f"it sent a line of more than {limit} bytes")
            yield from self._more()
        line = bytes(self._buffer[:end]).removesuffix(b"\r").decode("latin-1")
        del self._buffer[: end + 1]
        return line

    def _take(self, size: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < size:
            yield from self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _take_all(self) -> Generator[None, None, bytes]:
        while not self._ended:
            if len(self._buffer) > MAX_BODY_BYTES:
                raise NotHttp(f"its answer is longer than {MAX_BODY_BYTES} bytes")
            yield
        return (yield from self._take(len(self._buffer)))

    def _more(self) -> Generator[None, None, None]:
        if self._ended:
            raise ConnectionEnded
        yield
        if self._ended:
            raise ConnectionEnded


def _content_length(text: str) -> int:
    length = text.partition(",")[0].strip()  # a header that is repeated with one value counts once (RFC 9110, 8.6)
    if not _is_number(length) or any(other.strip() != length for other in text.split(",")):
        raise NotHttp(f"it sent the content-length {text!r}")
    if int(length) > MAX_BODY_BYTES:
        raise NotHttp(f"its answer is longer than {MAX_BODY_BYTES} bytes")
    return int(length)


def _chunk_size(line: str) -> int:
    digits = line.partition(";")[0].strip()
    if not 1 <= len(digits) <= 16 or digits.strip("0123456789abcdefABCDEF"):
        raise NotHttp(f"it sent the chunk size {line!r}")
    return int(digits, 16)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _excerpt(data: bytearray) -> str:
    return repr(bytes(data[:40]))[1:]
