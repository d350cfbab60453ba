"""Finding a server: DNS lookups on blocking sockets, and the race of the addresses."""

from __future__ import annotations

import io
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import dns.message
import dns.rrset
import pytest
from canned_servers import LOOPBACK, canned_dns, closed_port, raw_server
from omdb_driver import NOW, omdb

from dropshot.address import SocketAddr
from nexus.clients.resolver import Address, Question, RecordType, ResolverError
from omdb import dns_lookup
from omdb.discovery import CONCURRENT_CONNECTS, first_to_accept
from omdb.dns_lookup import lookup_service, system_servers
from omdb.log import Log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "_nexus._tcp.test"
RECORDS = {f"SRV {NAME}": ["0 0 12221 one.test."], "AAAA one.test": ["::1"], "A one.test": ["127.0.0.1"]}
FOUND = [SocketAddr("::1", 12221), SocketAddr("127.0.0.1", 12221)]
LOG = Log("warn", stream=io.StringIO(), now=lambda: NOW)


def lookup(*ports: int) -> list[SocketAddr]:
    return lookup_service(NAME, servers=[SocketAddr(LOOPBACK, port) for port in ports], log=LOG)


@pytest.mark.parametrize("truncate", [False, True])
def test_a_lookup(truncate: bool) -> None:
    with canned_dns(RECORDS, truncate=truncate) as port:
        assert lookup(port) == FOUND


def test_the_next_server_is_asked_if_one_is_not_there_or_has_no_such_zone() -> None:
    with closed_port() as closed, canned_dns({}, rcode=2) as other_zone, canned_dns(RECORDS) as port:
        assert lookup(closed, other_zone, port) == FOUND
        with pytest.raises(ResolverError) as caught:
            lookup(closed, other_zone)
    assert str(caught.value) == (
        f"DNS server {LOOPBACK}:{closed}: connection refused;"
        f" DNS server {LOOPBACK}:{other_zone}: the DNS server answered SERVFAIL to SRV {NAME}"
    )


def test_a_name_that_does_not_exist_is_an_answer() -> None:
    with canned_dns({}) as port, canned_dns(RECORDS) as never_asked, pytest.raises(ResolverError) as caught:
        lookup(port, never_asked)
    assert str(caught.value) == f"DNS server {LOOPBACK}:{port}: no such name in DNS: {NAME}"


@contextmanager
def udp_socket() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((LOOPBACK, 0))
        yield udp, udp.getsockname()[1]


def test_a_silent_server_is_asked_again_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_lookup, "ATTEMPT_TIMEOUT_S", 0.05)
    with udp_socket() as (udp, port):
        with pytest.raises(ResolverError, match=r"no answer in 0\.15 s"):
            lookup(port)
        queries = [dns.message.from_wire(udp.recv(65_535)) for _ in range(dns_lookup.ATTEMPTS)]
    assert len({query.question[0].to_text() for query in queries}) == 1


def test_a_forged_answer_does_not_end_the_wait_for_the_true_one() -> None:
    def answer_twice() -> None:
        packet, client = udp.recvfrom(65_535)
        query = dns.message.from_wire(packet)
        for id, ip in ((query.id ^ 1, "10.6.6.6"), (query.id, "127.0.0.1")):
            response = dns.message.make_response(query)
            response.id = id
            response.answer.append(dns.rrset.from_text("one.test.", 0, "IN", "A", ip))
            udp.sendto(response.to_wire(), client)

    with udp_socket() as (udp, port), ThreadPoolExecutor(1) as threads:
        answering = threads.submit(answer_twice)
        answer = dns_lookup._ask(Question("one.test", RecordType.A), SocketAddr(LOOPBACK, port))
        answering.result(30)
    assert answer.records() == (Address("one.test", "127.0.0.1"),)


def test_system_servers(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nsearch example.com\nnameserver 10.0.0.1\nnameserver\nnameserver nonsense\n"
        "nameserver  fe80::1%lo \nnameserver 10.0.0.3 # why not\nnameserver 10.0.0.4\n"
    )
    assert [str(server) for server in system_servers(path)] == ["10.0.0.1:53", "[fe80::1%lo]:53", "10.0.0.3:53"]
    assert system_servers(tmp_path / "missing") == [SocketAddr("127.0.0.1", 53)]


def race(ports: list[int], *, timeout_s: float = 30) -> tuple[SocketAddr | None, list[tuple[int, str]]]:
    warnings: list[tuple[int, str]] = []
    addresses = [SocketAddr(LOOPBACK, port) for port in ports]
    picked = first_to_accept(addresses, timeout_s=timeout_s, warn=lambda addr, why: warnings.append((addr.port, why)))
    return picked, warnings


def test_the_first_to_accept_is_picked() -> None:
    with ExitStack() as stack:
        closed = [stack.enter_context(closed_port()) for _ in range(2 * CONCURRENT_CONNECTS)]
        open_port = stack.enter_context(raw_server(lambda _: None))
        picked, warnings = race([*closed, open_port])
        assert picked == SocketAddr(LOOPBACK, open_port)
        assert warnings == [(port, "connection refused") for port in closed]
        assert race(closed) == (None, [(port, "connection refused") for port in closed])
    assert race([]) == (None, [])


@contextmanager
def full_server() -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as server, ExitStack() as stack:
        server.bind((LOOPBACK, 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue may refuse")
def test_one_that_does_not_answer_holds_nobody_up() -> None:
    with full_server() as silent, raw_server(lambda _: None) as open_port:
        assert race([silent, open_port]) == (SocketAddr(LOOPBACK, open_port), [])
        assert race([silent], timeout_s=0.05) == (None, [(silent, "connection timed out")])


def test_dns_of_the_system_is_said_to_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with canned_dns({}) as port:
        monkeypatch.setattr("omdb.discovery.system_servers", lambda: [SocketAddr(LOOPBACK, port)])
        outcome = omdb("nexus", "background-tasks", "list")
    assert outcome.code == 1
    assert outcome.stderr.splitlines()[:3] == [
        "note: Nexus URL not specified.  Will pick one from DNS.",
        "note: using DNS from system config (typically /etc/resolv.conf)",
        "note: (if this is not right, use --dns-server to specify an alternate DNS server)",
    ]
