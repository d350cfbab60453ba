"""The layer around an application, without a socket."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, cast

import trio
import trio.testing

from dropshot.asgi import RequestLayer
from dropshot.logging import BunyanForm, log_to

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/x",
    "query_string": b"a=b",
    "headers": [],
    "client": ("127.0.0.1", 1),
}


class Exchange:
    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.sent: list[dict[str, Any]] = []
        self.handled = False
        self.log = io.StringIO()

    async def run(self, *, body_timeout_s: float) -> None:
        async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            self.handled = True

        layer = RequestLayer(
            cast("ASGIFramework", app),
            log=log_to(self.log, form=BunyanForm()),
            max_body_bytes=10,
            body_timeout_s=body_timeout_s,
        )
        await layer(cast("Any", dict(SCOPE)), cast("Any", self._receive), cast("Any", self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._messages:
            await trio.sleep_forever()
        return self._messages.pop(0)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


PIECE = {"type": "http.request", "body": b"abc", "more_body": True}


async def test_a_body_that_does_not_end_is_refused_and_not_handled(autojump_clock: trio.testing.MockClock) -> None:
    exchange = Exchange(PIECE)
    await exchange.run(body_timeout_s=60)
    assert trio.current_time() == 60
    assert not exchange.handled
    assert exchange.sent[0]["status"] == 400
    assert json.loads(exchange.sent[1]["body"])["message"] == "request body took longer than 60 seconds"
    line = json.loads(exchange.log.getvalue())
    assert (line["msg"], line["response_code"], line["uri"]) == ("request completed", 400, "/x?a=b")
    assert line["latency_us"] == 60_000_000


async def test_a_client_that_goes_away_meanwhile_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    exchange = Exchange(PIECE, {"type": "http.disconnect"})
    await exchange.run(body_timeout_s=60)
    assert (exchange.handled, exchange.sent, exchange.log.getvalue()) == (False, [], "")
