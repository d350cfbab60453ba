"""What happens to a request outside its handler: id, body, `api-version`, log line. One ASGI layer around the app.

The whole body is read before the handler is called, and what the client does after that is kept from the handler: it
runs to its end whether or not somebody still waits for the answer (as upstream's servers do by default). So a client
that hangs up cannot stop a saga's creation half way. A client that hangs up *before* its body is complete is ignored.

Keeping the disconnect from Quart also mends a trap: Quart would cancel the task that is still sending the last piece
of the answer, Hypercorn's idle timer would not start, and the server could neither expire nor close the connection.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import trio

from dropshot.address import SocketAddr
from dropshot.errors import HttpError, bad_request
from dropshot.versions import HEADER as VERSION_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hypercorn.typing import (
        ASGIFramework,
        ASGIReceiveCallable,
        ASGISendCallable,
        ASGISendEvent,
        HTTPScope,
        Scope,
        WebsocketScope,
    )

    from dropshot.logging import Log
    from dropshot.versions import ApiVersion, ApiVersions

BODY_TIMEOUT_S = 60.0
"""A client that takes longer to send its body is refused."""

_KEY = "dropshot.request"


@dataclass(slots=True)
class RequestRecord:
    """One request as its handler and its log line see it. Lives in the ASGI scope."""

    id: str
    log: Log
    api_version: ApiVersion | None = None
    body_refusal: HttpError | None = None
    """Why there is no body; for the handler that wants one."""
    error: HttpError | None = None
    """What the answer was, if it was an error."""
    status: int | None = None


def record_of(scope: Mapping[str, Any]) -> RequestRecord:
    """The record of the request with this ASGI scope."""
    return cast("RequestRecord", scope[_KEY])


class RequestLayer:
    """The ASGI application around `app`, which sees one complete request at a time and never a disconnect."""

    def __init__(
        self,
        app: ASGIFramework,
        *,
        log: Log,
        max_body_bytes: int,
        api_versions: ApiVersions | None = None,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._log = log
        self._max_body_bytes = max_body_bytes
        self._api_versions = api_versions
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._refuse_websocket(scope, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        record = self._new_record()
        answer = self._answering(scope, record, send)
        cast("dict[str, Any]", scope)[_KEY] = record

        refusal: HttpError | None = None
        body: bytes | None = b""
        with trio.move_on_after(self._body_timeout_s) as reading:
            body = await self._read_body(receive, record)
        if body is None:
            return
        if reading.cancelled_caught:
            refusal = bad_request(f"request body took longer than {self._body_timeout_s:g} seconds")

        async def give_body_then_nothing() -> Any:
            nonlocal body
            if body is None:
                await trio.sleep_forever()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        refusal = refusal or self._negotiate_version(scope, record) or _refuse_leading_slashes(scope)
        if refusal is None:
            await self._app(scope, give_body_then_nothing, answer)
        else:
            await _send_error(refusal, record, answer)

    async def _refuse_websocket(self, scope: WebsocketScope, send: ASGISendCallable) -> None:
        async def send_instead_of_accepting(message: ASGISendEvent) -> None:
            await send(cast("ASGISendEvent", {**message, "type": f"websocket.{message['type']}"}))

        record = self._new_record()
        answer = self._answering(scope, record, send_instead_of_accepting)
        await _send_error(bad_request("this server does not speak WebSocket"), record, answer)

    def _new_record(self) -> RequestRecord:
        request_id = str(uuid.uuid4())
        return RequestRecord(request_id, self._log.bind(req_id=request_id))

    def _answering(
        self, scope: HTTPScope | WebsocketScope, record: RequestRecord, send: ASGISendCallable
    ) -> ASGISendCallable:
        """`send` for the answer to a request that has just come: adds its id, and says in the log that it is done."""
        start = trio.current_time()

        async def send_with_request_id(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", record.id.encode())]
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                # Before the client can see the end: who has an answer finds its line in the log.
                self._log_completion(scope, record, latency_s=trio.current_time() - start)
            await send(message)

        return send_with_request_id

    async def _read_body(self, receive: ASGIReceiveCallable, record: RequestRecord) -> bytes | None:
        """The body, or None if the client went away. Too big a one is read to its end all the same, and dropped:
        a client that is still sending would never see the answer.
        """
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return None
            size += len(message["body"])
            if size <= self._max_body_bytes:
                pieces.append(message["body"])
            more = message["more_body"]
        if size > self._max_body_bytes:
            record.body_refusal = bad_request(f"request body exceeded maximum size of {self._max_body_bytes} bytes")
            return b""
        return b"".join(pieces)

    def _negotiate_version(self, scope: HTTPScope, record: RequestRecord) -> HttpError | None:
        if self._api_versions is None:
            return None
        wanted = VERSION_HEADER.encode()
        header = next((value.decode("latin1") for name, value in scope["headers"] if name.lower() == wanted), None)
        try:
            record.api_version = self._api_versions.requested(header)
        except HttpError as refusal:
            return refusal
        return None

    def _log_completion(self, scope: HTTPScope | WebsocketScope, record: RequestRecord, *, latency_s: float) -> None:
        fields: dict[str, Any] = {}
        if record.error is not None:
            fields["error_message_external"] = record.error.message
            if record.error.internal_message is not None:
                fields["error_message_internal"] = record.error.internal_message
        query = scope["query_string"].decode("latin1")
        client = scope["client"]
        self._log.info(
            "request completed",
            **fields,
            latency_us=round(latency_s * 1_000_000),
            response_code=record.status,
            uri=f"{scope['path']}?{query}" if query else scope["path"],
            method=scope["method"] if scope["type"] == "http" else "GET",
            req_id=record.id,
            remote_addr=str(SocketAddr(*client[:2])) if client else "unknown",
        )


def _refuse_leading_slashes(scope: HTTPScope) -> HttpError | None:
    """Werkzeug takes `//path` for `/path`, whatever it is told about slashes."""
    return HttpError(404, "Not Found") if scope["path"].startswith("//") else None


async def _send_error(error: HttpError, record: RequestRecord, send: ASGISendCallable) -> None:
    record.error = error
    body = error.body(record.id)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
