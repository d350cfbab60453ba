"""The HTTP floor over real sockets: what a client sees, and what the server survives."""

from __future__ import annotations

import io
import json
import re
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import trio

from dropshot import client
from dropshot.address import SocketAddr
from dropshot.app import App, new_app, no_content, path_uuid, read_json, reply
from dropshot.errors import HttpError
from dropshot.logging import BunyanForm, log_to
from dropshot.server import AddressInUse, ListenError, serve
from dropshot.versions import ApiVersion, ApiVersions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from quart_trio.wrappers import TrioResponse

MAX_BODY = 1000
NOT_JSON = "not valid JSON text: it is cut off, or an escape in it is half of a surrogate pair"
PONG = b'{"status":"ok"}'


@dataclass
class Server:
    address: SocketAddr
    stop: trio.Event
    log_text: io.StringIO
    entered: trio.Event = field(default_factory=trio.Event)
    release: trio.Event = field(default_factory=trio.Event)
    finished: trio.Event = field(default_factory=trio.Event)

    async def request(self, method: str, path: str, **more: object) -> client.Response:
        return await client.request(self.address, method, path, timeout_s=10, **more)  # type: ignore[arg-type]

    @property
    def log_lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log_text.getvalue().splitlines()]


def routes(app: App, server: Server) -> None:
    @app.get("/v1/ping")
    async def ping() -> TrioResponse:
        return reply({"status": "ok"})

    @app.get("/things/<thing_id>")
    async def thing(thing_id: str) -> TrioResponse:
        return reply({"id": path_uuid(thing_id, "thing_id")})

    @app.post("/numbers")
    async def numbers() -> TrioResponse:
        return reply(sum((await read_json(dict[str, list[int]]))["n"]))

    @app.post("/nothing")
    async def nothing() -> TrioResponse:
        return no_content()

    @app.get("/refused")
    async def refused() -> TrioResponse:
        raise HttpError(409, "not now", error_code="Conflict", internal_message="because of the secret state")

    @app.get("/bug")
    async def bug() -> TrioResponse:
        try:
            raise KeyError("root cause")
        except KeyError as exc:
            raise RuntimeError("the bug") from exc

    @app.get("/bug/nursery")
    async def bug_in_nursery() -> TrioResponse:
        async def fail() -> None:
            raise RuntimeError("in a child task")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
        return no_content()

    @app.post("/slow")
    async def slow() -> TrioResponse:
        server.entered.set()
        await server.release.wait()
        server.finished.set()
        return reply("done")


@asynccontextmanager
async def running(host: str = "127.0.0.1", api_versions: ApiVersions | None = None) -> AsyncIterator[Server]:
    stream = io.StringIO()
    log = log_to(stream, form=BunyanForm(), name="test")
    app = new_app("dropshot_test", log=log, max_body_bytes=MAX_BODY, api_versions=api_versions)
    stop = trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(serve, app, SocketAddr(host, 0), log=log, stop=stop))
            server = Server(address, stop, stream)
            routes(app, server)
            yield server
            stop.set()


async def receive_all(stream: trio.SocketStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def receive_until(stream: trio.SocketStream, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        received += await stream.receive_some()
    return received


async def connect(server: Server) -> trio.SocketStream:
    return await trio.open_tcp_stream(server.address.host, server.address.port)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_listens_on_any_port_and_says_which(host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    async with running(host) as server:
        assert server.address.port != 0
        assert server.address.host == host
        (line,) = server.log_lines
        assert (line["msg"], line["local_addr"], line["component"]) == (
            "listening",
            str(server.address),
            "dropshot_test",
        )
        assert (await server.request("GET", "/v1/ping")).body == b'{"status":"ok"}'


async def test_every_answer_has_a_request_id_of_the_servers_own() -> None:
    async with running() as server:
        good = await server.request("GET", "/v1/ping", headers=[("x-request-id", str(UUID(int=0)))])
        bad = await server.request("GET", "/refused")
        for answer in (good, bad):
            assert answer.header("content-type") == "application/json"
            assert UUID(answer.header("x-request-id")).version == 4
        assert bad.body.decode() == (
            f'{{\n  "request_id": "{bad.header("x-request-id")}",\n'
            '  "error_code": "Conflict",\n  "message": "not now"\n}'
        )
        completed = [line for line in server.log_lines if line["msg"] == "request completed"]
        assert [line["response_code"] for line in completed] == [200, 409]
        assert completed[1]["req_id"] == bad.header("x-request-id")
        assert completed[1]["error_message_internal"] == "because of the secret state"
        assert (completed[1]["method"], completed[1]["uri"]) == ("GET", "/refused")
        assert re.fullmatch(r"127\.0\.0\.1:[0-9]+", str(completed[1]["remote_addr"]))


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/v1/ping/", 404, "Not Found"),
        ("GET", "/v1//ping", 404, "Not Found"),
        ("GET", "//v1/ping", 404, "Not Found"),
        ("GET", "/%2Fv1/ping", 404, "Not Found"),
        ("POST", "/v1/ping", 405, "Method Not Allowed"),
        ("OPTIONS", "/v1/ping", 405, "Method Not Allowed"),
        ("GET", "/things/x", 400, 'bad parameter in URL path: thing_id: "x" is not a UUID'),
    ],
)
async def test_refusals_before_a_handler(method: str, path: str, status: int, message: str) -> None:
    async with running() as server:
        answer = await server.request(method, path)
        assert answer.status == status
        assert json.loads(answer.body) == {"request_id": answer.header("x-request-id"), "message": message}
        assert answer.header("allow") == ("GET, HEAD" if status == 405 else None)


async def test_a_websocket_is_refused_like_any_bad_request() -> None:
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    upgrade["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    async with running() as server:
        answer = await server.request("GET", "/v1/ping", headers=list(upgrade.items()))
        assert answer.status == 400
        assert json.loads(answer.body) == {
            "request_id": answer.header("x-request-id"),
            "message": "this server does not speak WebSocket",
        }
        (_, line) = server.log_lines
        assert (line["msg"], line["response_code"], line["method"], line["uri"]) == (
            "request completed",
            400,
            "GET",
            "/v1/ping",
        )


async def test_uuid_in_a_path_takes_any_form() -> None:
    uuid = "f7765d6a-6e45-4c13-8904-2677b79a97eb"
    async with running() as server:
        for text in (uuid.upper(), uuid.replace("-", ""), f"%7B{uuid}%7D", f"urn:uuid:{uuid}"):
            assert json.loads((await server.request("GET", f"/things/{text}")).body) == {"id": uuid}


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("text/plain", b"{}", "unsupported content-type: text/plain"),
        (
            "application/x-www-form-urlencoded",
            b"{}",
            'expected content type "application/json", got "application/x-www-form-urlencoded"',
        ),
        ("application/json", b"", f"unable to parse JSON body: {NOT_JSON}"),
        ("application/json", b'{"n":[1,2', f"unable to parse JSON body: {NOT_JSON}"),
        ("application/json", rb'{"n":[],"m":"\ud800"}', f"unable to parse JSON body: {NOT_JSON}"),
        ("application/json", b"[]", "unable to parse JSON body: Expected `object`, got `array`"),
        ("application/json", b'{"n":1}', "unable to parse JSON body: [...]: Expected `array`, got `int`"),
        ("application/json", b"1" * (MAX_BODY + 1), "request body exceeded maximum size of 1000 bytes"),
        ("application/json", b"1" * 5_000_000, "request body exceeded maximum size of 1000 bytes"),
    ],
)
async def test_bodies_that_cannot_be_read(content_type: str, body: bytes, message: str) -> None:
    async with running() as server:
        answer = await server.request("POST", "/numbers", headers=[("content-type", content_type)], body=body)
        assert (answer.status, json.loads(answer.body)["message"]) == (400, message)
        assert "error_code" not in json.loads(answer.body)


async def test_bodies_that_can_be_read() -> None:
    async with running() as server:
        for headers in ([("content-type", "application/json; charset=utf-8")], [("content-type", "Application/JSON")]):
            assert (await server.request("POST", "/numbers", headers=headers, body=b'{"n":[1,2]}')).body == b"3"
        async with await connect(server) as stream:  # chunked, no content type, in two pieces
            await stream.send_all(
                b"POST /numbers HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            await stream.send_all(b'5\r\n{"n":\r\n')
            await stream.send_all(b"4\r\n[7]}\r\n0\r\n\r\n")
            assert (await receive_all(stream)).endswith(b"7")


async def test_no_content_has_neither_body_nor_content_type() -> None:
    async with running() as server:
        answer = await server.request("POST", "/nothing")
        assert (answer.status, answer.body, answer.header("content-type")) == (204, b"", None)


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/bug", ["RuntimeError: the bug", "KeyError: 'root cause'"]), ("/bug/nursery", ["in a child task"])],
)
async def test_a_bug_is_500_and_its_chain_is_logged_once(path: str, shown: list[str]) -> None:
    async with running() as server:
        answer = await server.request("GET", path)
        assert (answer.status, json.loads(answer.body)["error_code"]) == (500, "Internal")
        assert json.loads(answer.body)["message"] == "Internal Server Error"
        with_chain = [line for line in server.log_lines if "exception" in line]
        assert len(with_chain) == 1
        assert with_chain[0]["req_id"] == answer.header("x-request-id")
        for text in shown:
            assert text in str(with_chain[0]["exception"])


async def test_api_version_header() -> None:
    versions = ApiVersions(oldest=ApiVersion(1, 0, 0), newest=ApiVersion(2, 0, 0))
    async with running(api_versions=versions) as server:
        missing = await server.request("GET", "/v1/ping")
        assert (missing.status, json.loads(missing.body)["message"]) == (400, 'missing expected header "api-version"')
        assert missing.header("x-request-id") == json.loads(missing.body)["request_id"]
        assert (await server.request("GET", "/v1/ping", headers=[("API-Version", "1.0.0")])).status == 200


async def test_one_connection_serves_many_requests() -> None:
    async with running() as server, await connect(server) as stream:
        for _ in range(3):
            await stream.send_all(b"GET /v1/ping HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await receive_until(stream, PONG)).startswith(b"HTTP/1.1 200")


async def test_a_handler_goes_on_when_its_client_hangs_up() -> None:
    async with running() as server:
        async with await connect(server) as stream:
            await stream.send_all(b"POST /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            await server.entered.wait()
        assert (await server.request("GET", "/v1/ping")).status == 200
        server.release.set()
        await server.finished.wait()
    assert not [line for line in server.log_lines if line["level"] == 50]


async def test_a_request_whose_body_never_comes_is_not_handled() -> None:
    async with running() as server:
        async with await connect(server) as stream:
            await stream.send_all(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        assert (await server.request("GET", "/v1/ping")).status == 200
        assert not server.entered.is_set()
    assert not [line for line in server.log_lines if line["level"] == 50]


async def test_stopping_does_not_wait_for_idle_connections() -> None:
    async with running() as server:
        async with await connect(server) as never_used, await connect(server) as used:
            await used.send_all(b"GET /v1/ping HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await receive_until(used, PONG)).startswith(b"HTTP/1.1 200")
            start = trio.current_time()
            server.stop.set()
            assert await receive_all(used) == b""
            assert await receive_all(never_used) == b""
        assert trio.current_time() - start < 0.5, "the graceful timeout is 1 s"


async def test_stopping_lets_a_request_under_way_finish() -> None:
    async with running() as server, await connect(server) as stream:
        await stream.send_all(b"POST /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        await server.entered.wait()
        server.stop.set()
        server.release.set()
        assert (await receive_all(stream)).endswith(b'"done"')


async def test_cancelling_ends_everything_at_once() -> None:
    with trio.fail_after(10), trio.CancelScope() as scope:
        async with running() as server:
            stream = await connect(server)
            async with stream:
                await stream.send_all(b"POST /slow HTTP/1.1\r\nhost: x\r\n\r\n")
                await server.entered.wait()
                scope.cancel()
                await trio.lowlevel.checkpoint()
    assert not server.finished.is_set()


async def test_a_taken_port_is_one_line_that_names_it() -> None:
    async with running() as server:
        app = new_app("second", log=log_to(io.StringIO(), form=BunyanForm()))
        with pytest.raises(
            AddressInUse, match=rf"^cannot listen on {re.escape(str(server.address))}: in use"
        ) as caught:
            await serve(app, server.address, log=log_to(io.StringIO(), form=BunyanForm()))
        assert "\n" not in str(caught.value)


async def test_an_address_of_another_machine() -> None:
    app = new_app("elsewhere", log=log_to(io.StringIO(), form=BunyanForm()))
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:0: "):
        await serve(app, SocketAddr("192.0.2.1", 0), log=log_to(io.StringIO(), form=BunyanForm()))


async def test_what_is_not_http_does_no_harm() -> None:
    async with running() as server:
        for garbage in (
            b"\x16\x03\x01\x02\x00",
            b"GET\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /" + b"a" * 70_000,
        ):
            async with await connect(server) as stream:
                await stream.send_all(garbage)
                await stream.send_eof()
                await receive_all(stream)
        assert (await server.request("GET", "/v1/ping")).status == 200


# --- the client ------------------------------------------------------------------------------------------------------


async def fake_server(answer: bytes | None, *, task_status: trio.TaskStatus[SocketAddr]) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer is None:
            await trio.sleep_forever()
        else:
            await stream.send_all(answer)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(SocketAddr(*listener.socket.getsockname()[:2]))
    await trio.serve_listeners(handle, [listener])


@pytest.mark.parametrize(
    ("answer", "timeout_s", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n", 10, "not a proper HTTP answer: "),
        (b"", 10, "not a proper HTTP answer: "),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", 10, "not a proper HTTP answer: "),
        (None, 0.05, "no answer within 0.05 seconds"),
    ],
)
async def test_client_says_what_went_wrong(answer: bytes | None, timeout_s: float, message: str) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(fake_server, answer))
            with pytest.raises(client.ClientError, match=rf"^{re.escape(str(address))}: {re.escape(message)}"):
                await client.request(address, "GET", "/", timeout_s=timeout_s)
            nursery.cancel_scope.cancel()


async def test_client_finds_nobody() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = SocketAddr(*taken.getsockname())
        with pytest.raises(client.ClientError, match=rf"^{re.escape(str(address))}: Connection refused$"):
            await client.request(address, "GET", "/", timeout_s=10)
