"""DNS lookups on blocking sockets: UDP first, TCP for an answer that does not fit.

Bytes and questions are `nexus.clients.resolver`'s; the same on trio is `nexus.clients.dns_lookup`.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from dropshot.address import SocketAddr
from nexus.clients.resolver import (
    MalformedAnswer,
    ResolverError,
    ServerRefused,
    answers_query,
    decode_answer,
    encode_query,
    resolve_instance,
    resolve_service,
)
from omdb.deadline import Deadline
from omdb.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import TypeAlias

    from nexus.clients.resolver import Answer, Question
    from omdb.log import Log

    Lookup: TypeAlias = Generator[Question, Answer, list[SocketAddr]]

RESOLV_CONF = Path("/etc/resolv.conf")

ATTEMPTS = 3
ATTEMPT_TIMEOUT_S = 2.0
"""A packet may be lost. After this long it is asked again, under another id."""

_DNS_PORT = 53
_MAX_SYSTEM_SERVERS = 3
_MAX_PACKET_BYTES = 65_535


def system_servers(path: Path = RESOLV_CONF) -> list[SocketAddr]:
    """The servers that this machine asks, as resolv.conf(5) says: without any, the one on this machine."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    servers = []
    for words in (line.split() for line in lines):
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                servers.append(SocketAddr.parse(f"[{words[1]}]:{_DNS_PORT}" if ":" in words[1] else f"{words[1]}:53"))
            except ValueError:
                continue
    return servers[:_MAX_SYSTEM_SERVERS] or [SocketAddr("127.0.0.1", _DNS_PORT)]


def lookup_service(name: str, *, servers: Sequence[SocketAddr], log: Log) -> list[SocketAddr]:
    """Every address behind an SRV name, from the first server that has an answer.

    A server that is not there, or does not serve the zone, is passed over for the next. Raises ResolverError, which
    names every server that was asked and what came of it.
    """
    return _lookup(lambda: resolve_service(name), servers=servers, log=log)


def lookup_instance(name: str, instance: str, *, servers: Sequence[SocketAddr], log: Log) -> list[SocketAddr]:
    """As `lookup_service`, of the targets that have `instance` in their name; empty if there are none."""
    return _lookup(lambda: resolve_instance(name, instance), servers=servers, log=log)


def _lookup(begin: Callable[[], Lookup], *, servers: Sequence[SocketAddr], log: Log) -> list[SocketAddr]:
    failures: list[str] = []
    for server in servers:
        try:
            return _lookup_at(begin(), server, log=log)
        except (ServerRefused, MalformedAnswer, _NoAnswer) as error:
            failures.append(f"DNS server {server}: {error}")
        except ResolverError as error:
            raise ResolverError(f"DNS server {server}: {error}") from None
    raise ResolverError("; ".join(failures))


class _NoAnswer(Exception):
    """The server did not answer. `str()` says why."""


def _lookup_at(steps: Lookup, server: SocketAddr, *, log: Log) -> list[SocketAddr]:
    question = next(steps)
    try:
        while True:
            log.debug("DNS question", server=str(server), question=str(question))
            question = steps.send(_ask(question, server))
    except StopIteration as done:
        addresses: list[SocketAddr] = done.value
        return addresses


def _ask(question: Question, server: SocketAddr) -> Answer:
    for _ in range(ATTEMPTS):
        try:
            answer = _ask_by_udp(question, server, Deadline(ATTEMPT_TIMEOUT_S))
            return _ask_by_tcp(question, server, Deadline(ATTEMPT_TIMEOUT_S)) if answer.truncated else answer
        except TimeoutError:
            continue
        except OSError as error:
            raise _NoAnswer(reason(error)) from None
    raise _NoAnswer(f"no answer in {ATTEMPTS * ATTEMPT_TIMEOUT_S:g} s")


def _ask_by_udp(question: Question, server: SocketAddr, deadline: Deadline) -> Answer:
    query_id = _new_query_id()
    with socket.socket(_family(server), socket.SOCK_DGRAM) as udp:
        # Connected, so that packets of others do not get here and a port without a server is reported at once.
        udp.connect((server.host, server.port))
        udp.send(encode_query(question, query_id=query_id))
        while True:
            udp.settimeout(deadline.remaining_s())
            packet = udp.recv(_MAX_PACKET_BYTES)
            if answers_query(packet, question, query_id=query_id):
                return decode_answer(packet, question)


def _ask_by_tcp(question: Question, server: SocketAddr, deadline: Deadline) -> Answer:
    query_id = _new_query_id()
    query = encode_query(question, query_id=query_id)
    with socket.socket(_family(server), socket.SOCK_STREAM) as tcp:
        tcp.settimeout(deadline.remaining_s())
        tcp.connect((server.host, server.port))
        tcp.sendall(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(_receive(tcp, 2, deadline), "big")
        packet = _receive(tcp, length, deadline)
    if not answers_query(packet, question, query_id=query_id):
        raise MalformedAnswer("it answered another question")
    return decode_answer(packet, question)


def _receive(tcp: socket.socket, size: int, deadline: Deadline) -> bytes:
    received = bytearray()
    while len(received) < size:
        tcp.settimeout(deadline.remaining_s())
        chunk = tcp.recv(size - len(received))
        if not chunk:
            raise MalformedAnswer("it closed the connection inside an answer")
        received += chunk
    return bytes(received)


def _new_query_id() -> int:
    return int.from_bytes(os.urandom(2), "big")


def _family(server: SocketAddr) -> socket.AddressFamily:
    return socket.AF_INET6 if server.is_ipv6 else socket.AF_INET
