"""An application on a listening socket: Hypercorn in a nursery of the caller's.

The socket is made here, not by Hypercorn, so that a port that is taken is a plain exception, and so that the port is
known before anything is served. Hypercorn's own log lines go to the given logger.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio import serve as hypercorn_serve

from dropshot.address import SocketAddr
from dropshot.port_holder import describe_holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropshot.app import App
    from dropshot.logging import Log

KEEP_ALIVE_TIMEOUT_S = 60.0
GRACEFUL_TIMEOUT_S = 1.0
"""How long requests under way may go on once the server stops. Idle connections are closed at once."""


class ListenError(Exception):
    """A server cannot listen on its address. One line for the user, naming it."""


class AddressInUse(ListenError):
    """Somebody else listens there; the message says who, where that can be known."""


class ReservedAddress:
    """An address that nobody listens on yet and that is this process's to serve; see `reserve`."""

    def __init__(self, bind: SocketAddr) -> None:
        with _naming_errors(bind):
            self.socket = socket.socket(socket.AF_INET6 if bind.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if bind.is_ipv6:
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self.socket.setblocking(False)
                self.socket.bind((bind.host, bind.port))
            except BaseException:
                self.socket.close()
                raise
        self.address = SocketAddr(*self.socket.getsockname()[:2])


@contextmanager
def reserve(bind: SocketAddr) -> Iterator[ReservedAddress]:
    """Make an address this process's own, with a port if it has none, before there is anything to serve there.

    Until it is given to `serve`, connections are refused. Raises ListenError.
    """
    reserved = ReservedAddress(bind)
    with reserved.socket:
        yield reserved


async def serve(
    app: App,
    bind: SocketAddr | ReservedAddress,
    *,
    log: Log,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[SocketAddr] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on `bind` until `stop` is set (or for ever). Port 0 is any free port.

    Starts with the address it listens on. Raises ListenError. When stopped, requests under way get
    GRACEFUL_TIMEOUT_S to finish; when cancelled, they end like everything else.
    """
    log = log.bind(component=app.component)
    reserved = ReservedAddress(bind) if isinstance(bind, SocketAddr) else bind
    with reserved.socket:
        with _naming_errors(reserved.address):
            reserved.socket.listen(_BACKLOG)
        config = _ServerConfig(reserved.socket, log)
        trigger = None if stop is None else stop.wait
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(hypercorn_serve, app, config, shutdown_trigger=trigger))
            log.info("listening", local_addr=reserved.address)
            task_status.started(reserved.address)


@contextmanager
def _naming_errors(address: SocketAddr) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            holder = describe_holder(address.port)
            raise AddressInUse(f"cannot listen on {address}: in use" + (f" by {holder}" if holder else "")) from None
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise ListenError(f"cannot listen on {address}: {reason}") from None


_BACKLOG = 100


class _ServerConfig(Config):
    """Hypercorn's configuration for a socket that is already there, without its log files, banner and warnings."""

    keep_alive_timeout = KEEP_ALIVE_TIMEOUT_S
    graceful_timeout = GRACEFUL_TIMEOUT_S
    include_server_header = False
    backlog = _BACKLOG

    def __init__(self, listener: socket.socket, log: Log) -> None:
        super().__init__()
        self._listener = listener
        self._hypercorn_log = _HypercornLog(log)

    @property
    def log(self) -> Any:
        return self._hypercorn_log

    def create_sockets(self) -> Sockets:
        return Sockets(secure_sockets=[], insecure_sockets=[self._listener], quic_sockets=[])


class _HypercornLog:
    """Takes what Hypercorn logs. Its access log and its news of starting are said elsewhere."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def access(self, *_: object) -> None: ...

    async def debug(self, message: str, *args: object) -> None: ...

    async def info(self, message: str, *args: object) -> None: ...

    async def warning(self, message: str, *args: object) -> None:
        self._log.warning("web server warning", message=message % args if args else message)

    async def error(self, message: str, *args: object) -> None:
        self._log.error("web server error", message=message % args if args else message)

    critical = error

    async def exception(self, message: str, *args: object) -> None:
        self._log.exception("web server error", message=message % args if args else message)
