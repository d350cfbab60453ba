"""Outages of a database server that is shared by all tests: a proxy on the way to it plays them."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """Listens on a port of its own and passes bytes to the real server, unless it is told to play dead."""

    def __init__(self, host: str, port: int, nursery: trio.Nursery) -> None:
        self._upstream = (host, port)
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self._clients: set[trio.SocketStream] = set()
        self.silent = False
        self.port = 0

    async def start(self) -> None:
        self._scope = trio.CancelScope()
        (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        self._nursery.start_soon(self._serve, listener)

    async def stop(self) -> None:
        """Drop everybody and refuse new ones, as a server that stopped."""
        self._scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    def reset(self) -> int:
        """Break every connection as a network may, by RST and in the middle of anything; new ones are taken.

        Returns how many there were.
        """
        clients, self._clients = self._clients, set()
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()
        return len(clients)

    async def _serve(self, listener: trio.SocketListener) -> None:
        with self._scope:
            await trio.serve_listeners(self._pass_on, [listener])

    async def _pass_on(self, client: trio.SocketStream) -> None:
        self._clients.add(client)
        try:
            async with await trio.open_tcp_stream(*self._upstream) as server, trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, client, server, nursery.cancel_scope)
                nursery.start_soon(self._copy, server, client, nursery.cancel_scope)
        finally:
            self._clients.discard(client)

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        try:
            async for chunk in source:
                if self.silent:
                    await trio.sleep_forever()
                await sink.send_all(chunk)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    params = conninfo_to_dict(url)
    async with trio.open_nursery() as nursery:
        proxy = Proxy(str(params["host"]), int(params["port"] or 0), nursery)
        await proxy.start()
        yield proxy, make_conninfo("", **params | {"host": "127.0.0.1", "port": proxy.port})
        nursery.cancel_scope.cancel()
