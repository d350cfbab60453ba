"""DNS lookups on trio: UDP first, TCP for an answer that does not fit. Bytes and questions are `resolver.py`'s."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING

import trio

from nexus.clients.resolver import (
    MalformedAnswer,
    ResolverError,
    answers_query,
    decode_answer,
    encode_query,
    resolve_service,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dropshot.address import SocketAddr
    from nexus.clients.resolver import Answer, Question

ATTEMPTS = 3
ATTEMPT_TIMEOUT_S = 2.0
"""A packet may be lost. After this long it is asked again, under another id."""

_MAX_PACKET_BYTES = 65_535


async def lookup_service(name: str, *, servers: Sequence[SocketAddr]) -> list[SocketAddr]:
    """Every address behind an SRV name, from the first server that answers.

    Raises ResolverError: the answer of the first server that had one, else what was met at each of them.
    """
    unreachable: list[str] = []
    for server in servers:
        try:
            return await _lookup_at(name, server)
        except _NoAnswer as error:
            unreachable.append(str(error))
    raise ResolverError("; ".join(unreachable) or f"no DNS server to ask for {name}")


class _NoAnswer(Exception):
    """The server did not answer; another one may."""


async def _lookup_at(name: str, server: SocketAddr) -> list[SocketAddr]:
    steps = resolve_service(name)
    question = next(steps)
    try:
        while True:
            question = steps.send(await _ask(question, server))
    except StopIteration as done:
        addresses: list[SocketAddr] = done.value
        return addresses


async def _ask(question: Question, server: SocketAddr) -> Answer:
    try:
        for _ in range(ATTEMPTS):
            with trio.move_on_after(ATTEMPT_TIMEOUT_S):
                answer = await _ask_by_udp(question, server)
                return await _ask_by_tcp(question, server) if answer.truncated else answer
    except OSError as error:
        raise _NoAnswer(f"DNS server {server}: {os.strerror(error.errno) if error.errno else error}") from error
    raise _NoAnswer(f"DNS server {server}: no answer in {ATTEMPTS * ATTEMPT_TIMEOUT_S:g} s")


async def _ask_by_udp(question: Question, server: SocketAddr) -> Answer:
    query_id = secrets.randbelow(0x10000)
    with trio.socket.socket(_family(server), socket.SOCK_DGRAM) as udp:
        await udp.connect((server.host, server.port))  # so that packets of others do not get here
        await udp.send(encode_query(question, query_id=query_id))
        while True:
            packet = await udp.recv(_MAX_PACKET_BYTES)
            if answers_query(packet, question, query_id=query_id):
                return decode_answer(packet, question)


async def _ask_by_tcp(question: Question, server: SocketAddr) -> Answer:
    query_id = secrets.randbelow(0x10000)
    query = encode_query(question, query_id=query_id)
    with trio.socket.socket(_family(server), socket.SOCK_STREAM) as tcp:
        await tcp.connect((server.host, server.port))
        stream = trio.SocketStream(tcp)
        await stream.send_all(len(query).to_bytes(2, "big") + query)
        packet = await _receive(stream, int.from_bytes(await _receive(stream, 2), "big"))
    if not answers_query(packet, question, query_id=query_id):
        raise MalformedAnswer(f"DNS server {server}: an answer to another question")
    return decode_answer(packet, question)


async def _receive(stream: trio.SocketStream, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = await stream.receive_some(size - len(received))
        if not chunk:
            raise MalformedAnswer("DNS over TCP: the connection was closed inside an answer")
        received += chunk
    return bytes(received)


def _family(server: SocketAddr) -> socket.AddressFamily:
    return socket.AF_INET6 if server.is_ipv6 else socket.AF_INET
