"""Real servers on loopback that answer what a test tells them to: an HTTP server, a DNS server, and misbehaved ones.

Each runs in a thread of its own until its `with` block ends.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOOPBACK = "127.0.0.1"


class CannedHttp:
    """An HTTP/1.1 server. `answers` maps `GET /path?query` to a status and a body, JSON unless it is bytes."""

    def __init__(self, answers: Mapping[str, tuple[int, object]]) -> None:
        self.answers = dict(answers)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """Request line without the version, headers by lower-case name, body."""
        self.connections = 0

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Its base URL."""
        with _running(_HttpServer((LOOPBACK, 0), self)) as port:
            yield f"http://{LOOPBACK}:{port}"


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], canned: CannedHttp) -> None:
        self.canned = canned
        super().__init__(address, _HttpHandler)


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer
    disable_nagle_algorithm: ClassVar[bool] = True

    def setup(self) -> None:
        super().setup()
        self.server.canned.connections += 1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        request = f"{self.command} {self.path}"
        self.server.canned.requests.append((request, {k.lower(): v for k, v in self.headers.items()}, body))
        status, value = self.server.canned.answers.get(request, (404, NOT_FOUND))
        payload = value if isinstance(value, bytes) else msgspec.json.encode(value)
        self.send_response(status)
        if status != 204:
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
        self.end_headers()
        if status != 204:
            self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


REQUEST_ID = "f0f0f0f0-0000-4000-8000-00000000f0f0"
NOT_FOUND = {"request_id": REQUEST_ID, "message": "Not Found"}


@contextmanager
def raw_server(converse: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server on the port given; `converse` has each connection, which is closed afterwards."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            converse(self.request)

    with _running(_TcpServer((LOOPBACK, 0), Handler)) as port:
        yield port


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of ours that nobody listens on: bound, so that no one else takes it meanwhile."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield bound.getsockname()[1]


@contextmanager
def canned_dns(records: Mapping[str, list[str]], *, truncate: bool = False, rcode: int = 0) -> Iterator[int]:
    """A DNS server, UDP and TCP on one port. `records` maps `SRV name` to the data of its records.

    With `truncate`, answers over UDP hold nothing but the wish to be asked over TCP.
    """

    def answer(query: bytes, *, udp: bool) -> bytes:
        message = dns.message.from_wire(query)
        response = dns.message.make_response(message)
        question = message.question[0]
        name = question.name.to_text(omit_final_dot=True)
        found = records.get(f"{dns.rdatatype.to_text(question.rdtype)} {name}")
        known = any(key.partition(" ")[2] == name for key in records)
        response.set_rcode(dns.rcode.Rcode(rcode or (dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)))
        if truncate and udp:
            response.flags |= dns.flags.TC
        elif found:
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", question.rdtype, *found))
        return response.to_wire()

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, reply_socket = self.request
            reply_socket.sendto(answer(query, udp=True), self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while length := self.rfile.read(2):
                packet = answer(self.rfile.read(int.from_bytes(length, "big")), udp=False)
                self.wfile.write(len(packet).to_bytes(2, "big") + packet)

    with _running(_TcpServer((LOOPBACK, 0), Tcp)) as port, _running(socketserver.UDPServer((LOOPBACK, port), Udp)):
        yield port


@contextmanager
def _running(server: socketserver.TCPServer | socketserver.UDPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
