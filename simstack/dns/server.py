"""The DNS server's sockets: UDP and TCP on one port, answering from a `DnsStore`.

One task reads UDP, one task accepts TCP, and each TCP connection has its own. What an answer says is decided by
`wire.py`; the HTTP API that changes the store is `http.py`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

import trio
from dns import rcode

from dropshot.address import SocketAddr
from dropshot.server import AddressInUse, ListenError
from simstack.dns.wire import MAX_UDP_PAYLOAD_BYTES, MessageBuffer, Transport, bare_reply, framed, respond

if TYPE_CHECKING:
    from collections.abc import Callable

    from dropshot.logging import Log
    from simstack.dns.store import DnsStore

MAX_TCP_CONNECTIONS = 128
"""One more closes the one that has asked nothing for longest. Each may hold one message of 64 KiB."""

TCP_IDLE_TIMEOUT_S = 10.0
"""How long a connection may take to deliver its next whole query (RFC 7766 asks for some seconds)."""

TCP_SEND_TIMEOUT_S = 10.0
"""How long a client may take to read what it asked for."""

_TCP_READ_BYTES = 65536
_BACKLOG = 128

_PORT_PAIR_ATTEMPTS = 64
"""A port that is free for TCP is nearly always free for UDP too; this many in a row that are not means a fault."""


async def serve_dns(
    store: DnsStore,
    bind: SocketAddr,
    *,
    log: Log,
    task_status: trio.TaskStatus[SocketAddr] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer DNS queries until cancelled. Starts with the bound address; port 0 takes a port free for both protocols.

    Raises ListenError, of which AddressInUse is one.
    """
    listener, datagrams, address = _bind(bind)
    async with listener:
        with datagrams:
            log.info("listening", local_addr=address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_serve_udp, datagrams, store, log)
                nursery.start_soon(_serve_tcp, listener, store, log)
                task_status.started(address)


async def _serve_udp(datagrams: trio.socket.SocketType, store: DnsStore, log: Log) -> None:
    while True:
        try:
            packet, client = await datagrams.recvfrom(MAX_UDP_PAYLOAD_BYTES)
            if (answer := _respond(packet, store, Transport.UDP, log)) is not None:
                await datagrams.sendto(answer, client)
        except OSError as error:
            # Says something of one client (gone, out of reach), never of the socket.
            log.debug("DNS datagram was not answered", error=str(error))


async def _serve_tcp(listener: trio.SocketListener, store: DnsStore, log: Log) -> None:
    connections = _Connections()

    async def handle(stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            if connections.add(scope):
                log.warning("too many DNS connections, closed the idlest", limit=MAX_TCP_CONNECTIONS)
            try:
                await _serve_connection(stream, store, log, asked=partial(connections.has_asked, scope))
            finally:
                connections.remove(scope)

    await trio.serve_listeners(handle, [listener])


class _Connections:
    """The connections that are served, each as the scope that ends it; the one that asked least recently is first."""

    def __init__(self) -> None:
        self._scopes: OrderedDict[trio.CancelScope, None] = OrderedDict()

    def add(self, scope: trio.CancelScope) -> bool:
        """Returns whether another had to go to make room."""
        is_full = len(self._scopes) >= MAX_TCP_CONNECTIONS
        if is_full:
            idlest, _ = self._scopes.popitem(last=False)
            idlest.cancel()
        self._scopes[scope] = None
        return is_full

    def has_asked(self, scope: trio.CancelScope) -> None:
        if scope in self._scopes:  # else it is ending
            self._scopes.move_to_end(scope)

    def remove(self, scope: trio.CancelScope) -> None:
        self._scopes.pop(scope, None)


async def _serve_connection(stream: trio.SocketStream, store: DnsStore, log: Log, *, asked: Callable[[], None]) -> None:
    """Answer every query of a connection in order, until the client closes it, breaks it or is too slow.

    `asked` is called at every query.
    """
    received = MessageBuffer()
    try:
        while (query := await _next_query(stream, received)) is not None:
            asked()
            answer = _respond(query, store, Transport.TCP, log)
            if answer is None:
                return
            with trio.fail_after(TCP_SEND_TIMEOUT_S):
                await stream.send_all(framed(answer))
    except (trio.BrokenResourceError, trio.TooSlowError):
        return


async def _next_query(stream: trio.SocketStream, received: MessageBuffer) -> bytes | None:
    """The next query, or None when the client has closed the connection.

    Raises trio.TooSlowError when it does not arrive in time and trio.BrokenResourceError when the connection breaks.
    """
    with trio.fail_after(TCP_IDLE_TIMEOUT_S):
        while (query := received.next_message()) is None:
            data = await stream.receive_some(_TCP_READ_BYTES)
            if not data:
                return None
            received.receive(data)
    return query


def _respond(packet: bytes, store: DnsStore, transport: Transport, log: Log) -> bytes | None:
    try:
        answer = respond(packet, catalog=store.catalog, transport=transport)
    except Exception:
        # A bug, found by this packet: it must not take down the stack that this server is a part of.
        log.exception("DNS query made the server fail", packet=packet.hex(), transport=transport.value)
        return bare_reply(packet, rcode.SERVFAIL)
    if answer is None:
        log.debug("DNS packet got no answer", bytes=len(packet), transport=transport.value)
    return answer


def _bind(bind: SocketAddr) -> tuple[trio.SocketListener, trio.socket.SocketType, SocketAddr]:
    """Both sockets on one port; with port 0, on one that is free for both. Raises ListenError."""
    for _ in range(_PORT_PAIR_ATTEMPTS):
        stream = _socket(bind, socket.SOCK_STREAM)
        address = SocketAddr(bind.host, stream.getsockname()[1])
        try:
            datagrams = _socket(address, socket.SOCK_DGRAM)
        except ListenError as error:
            stream.close()
            if bind.port == 0 and isinstance(error, AddressInUse):
                continue
            raise
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(stream))
        return listener, trio.socket.from_stdlib_socket(datagrams), address
    raise AddressInUse(f"cannot listen on {bind}: found no port that is free for both TCP and UDP")


def _socket(bind: SocketAddr, kind: socket.SocketKind) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if bind.is_ipv6 else socket.AF_INET, kind)
    try:
        if bind.is_ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind is socket.SOCK_STREAM:  # for UDP it would let two servers share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((bind.host, bind.port))
        if kind is socket.SOCK_STREAM:
            bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        protocol = "TCP" if kind is socket.SOCK_STREAM else "UDP"
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"cannot listen on {bind} ({protocol}): in use") from None
        raise ListenError(f"cannot listen on {bind} ({protocol}): {os.strerror(error.errno or 0)}") from None
    return bound
