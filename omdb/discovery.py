"""Picking a server from DNS: all its addresses are tried, three at a time, and the first that accepts wins."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from dataclasses import dataclass

from dropshot.address import SocketAddr
from nexus.clients.resolver import INTERNAL_ZONE, ResolverError
from omdb.deadline import Deadline
from omdb.dns_lookup import lookup_service, system_servers
from omdb.errors import OmdbError, UsageError, reason
from omdb.options import DNS_SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omdb.session import Session

CONNECT_TIMEOUT_S = 15.0
CONCURRENT_CONNECTS = 3


def pick_server(session: Session, *, service: str, kind: str) -> SocketAddr:
    """An address that accepts connections, of those that DNS has under `service` in the internal zone.

    `kind` is what to call such a server: `Nexus`. Each one that does not accept is told as a warning. Raises
    OmdbError, and UsageError for a `--dns-server` that is no address.
    """
    servers = dns_servers(session)
    try:
        addresses = lookup_service(f"{service}.{INTERNAL_ZONE}", servers=servers, log=session.log)
    except ResolverError as error:
        raise OmdbError(f"cannot pick a {kind} from DNS: {error}") from None

    def warn(address: SocketAddr, why: str) -> None:
        session.note(f"warning: failed to connect to {kind} at {address}: {why}")

    picked = first_to_accept(addresses, timeout_s=CONNECT_TIMEOUT_S, warn=warn)
    if picked is None:
        raise OmdbError(f"failed to connect to any instances of {kind}")
    return picked


def find_servers(session: Session, *, service: str, kind: str) -> list[SocketAddr]:
    """All addresses that DNS has under `service`, whether anything answers there or not. Raises as `pick_server`."""
    servers = dns_servers(session)
    try:
        return lookup_service(f"{service}.{INTERNAL_ZONE}", servers=servers, log=session.log)
    except ResolverError as error:
        raise OmdbError(f"cannot find {kind} in DNS: {error}") from None


def dns_servers(session: Session) -> list[SocketAddr]:
    """What `--dns-server` says, else those of the system, with a note. Raises UsageError."""
    typed = session.settings[DNS_SERVER]
    if typed is None:
        session.note("note: using DNS from system config (typically /etc/resolv.conf)")
        session.note("note: (if this is not right, use --dns-server to specify an alternate DNS server)")
        return system_servers()
    try:
        return [SocketAddr.parse(typed)]
    except ValueError as error:
        raise UsageError(f"Invalid value for {session.settings.origin(DNS_SERVER)}: {error}.") from None


@dataclass(frozen=True, slots=True)
class _Attempt:
    address: SocketAddr
    connection: socket.socket
    deadline: Deadline


def first_to_accept(
    addresses: Sequence[SocketAddr], *, timeout_s: float, warn: Callable[[SocketAddr, str], None]
) -> SocketAddr | None:
    """The first address that accepts a TCP connection, or None. Each of them has `timeout_s` for it."""
    waiting = list(addresses)
    attempts: list[_Attempt] = []
    try:
        while waiting or attempts:
            while waiting and len(attempts) < CONCURRENT_CONNECTS:
                address = waiting.pop(0)
                try:
                    attempts.append(_Attempt(address, _start_connecting(address), Deadline(timeout_s)))
                except OSError as error:
                    warn(address, reason(error))
            for attempt in _settled(attempts):
                failure = attempt.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failure == 0 and _is_connected(attempt.connection):
                    return attempt.address
                attempts.remove(attempt)
                attempt.connection.close()
                warn(attempt.address, reason(_os_error(failure or errno.ETIMEDOUT)))
        return None
    finally:
        for attempt in attempts:
            attempt.connection.close()


def _settled(attempts: Sequence[_Attempt]) -> list[_Attempt]:
    """Waits for attempts that have come to an end, be it that of their time."""
    with selectors.DefaultSelector() as selector:
        for attempt in attempts:
            selector.register(attempt.connection, selectors.EVENT_WRITE, attempt)
        if not attempts:
            return []
        ended = {id(key.data) for key, _ in selector.select(min(attempt.deadline.left_s() for attempt in attempts))}
    return [attempt for attempt in attempts if id(attempt) in ended or attempt.deadline.left_s() == 0]


def _start_connecting(address: SocketAddr) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    outcome = connection.connect_ex((address.host, address.port))
    if outcome not in (0, errno.EINPROGRESS):
        connection.close()
        raise _os_error(outcome)
    return connection


def _is_connected(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
