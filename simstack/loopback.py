"""Loopback addresses of this host, and ports that are free on all of them."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from simstack.errors import PortTaken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

IPV6 = "::1"
IPV4 = "127.0.0.1"

ATTEMPTS = 50
"""A port that the kernel picks on one address may be taken on the other; so often in a row is no accident."""


def loopback_hosts() -> tuple[str, ...]:
    """`("::1", "127.0.0.1")`, or IPv4 alone where the host has no IPv6. The first is the one to advertise."""
    try:
        _bind(IPV6, 0).close()
    except OSError:
        return (IPV4,)
    return (IPV6, IPV4)


def free_port(hosts: Sequence[str]) -> int:
    """A port that nobody listens on at any of `hosts` just now."""
    for _ in range(ATTEMPTS):
        with _bind(hosts[0], 0) as first:
            port: int = first.getsockname()[1]
            if all(_is_free(host, port) for host in hosts[1:]):
                return port
    raise PortTaken(f"no port is free on all of {', '.join(hosts)}")


@contextmanager
def reserved_ports() -> Iterator[Callable[[Sequence[str]], int]]:
    """Yields what picks a port that is free on all of some hosts, and keeps it for a server that starts later.

    It is bound, but not listened on: so the kernel gives it to nobody who asks for any port, nor to a connection, while
    a server that asks for it by its number can have it, as often as it likes. Only Linux lets it; elsewhere nobody
    keeps the port. Raises PortTaken as `free_port`.
    """
    with ExitStack() as reservations:

        def reserve(hosts: Sequence[str]) -> int:
            for _ in range(ATTEMPTS):
                with ExitStack() as sockets, suppress(PortTaken):
                    port = 0
                    for host in hosts:
                        port = sockets.enter_context(_reservation(host, port)).getsockname()[1]
                    if sys.platform == "linux":
                        reservations.push(sockets.pop_all())
                    return port
            raise PortTaken(f"no port is free on all of {', '.join(hosts)}")

        yield reserve


def check_port(hosts: Sequence[str], port: int) -> None:
    """Raise PortTaken, naming the address, if somebody listens on `port` at one of `hosts`."""
    for host in hosts:
        if not _is_free(host, port):
            shown = f"[{host}]" if ":" in host else host
            raise PortTaken(f"{shown}:{port} is already in use")


def _is_free(host: str, port: int) -> bool:
    try:
        _bind(host, port).close()
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            return False
        raise
    return True


def _reservation(host: str, port: int) -> socket.socket:
    """Raises PortTaken."""
    reservation = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        reservation.bind((host, port))  # not yet with SO_REUSEADDR, or it would share another's reservation
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as exc:
        reservation.close()
        if exc.errno == errno.EADDRINUSE:
            raise PortTaken(f"{host}:{port} is already in use") from exc
        raise
    return reservation


def _bind(host: str, port: int) -> socket.socket:
    candidate = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is no holder
        candidate.bind((host, port))
    except BaseException:
        candidate.close()
        raise
    return candidate
