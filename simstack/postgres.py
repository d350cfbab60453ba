"""An ephemeral Postgres server as an async context manager.

    async with open_postgres(ClusterConfig(directory=…, log_path=…, schema=[…])) as cluster:
        … cluster.url …

Every step blocks and runs in a worker thread, so trio stays responsive: `simstack.cluster` has the steps,
`simstack.template` says why a start takes milliseconds. If this process is killed, the watchdog stops the server.
"""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from dropshot.address import SocketAddr
    from simstack.cluster import EphemeralPostgresql
    from simstack.cluster_config import ClusterConfig
    from simstack.exit_status import ExitStatus
    from simstack.watchdog import Watchdog

STOP_GRACE_S = 10.0
"""A stop that was asked for keeps the data, so it may take its time to roll back and to checkpoint."""

SPARE_GRACE_S = 0.5
"""Ending a stack waits this long for the next one's spare: without it a row of short runs would never have one."""


@asynccontextmanager
async def open_postgres(config: ClusterConfig, *, watchdog: Watchdog | None = None) -> AsyncIterator[PostgresCluster]:
    """Start a server, yield it when it answers on every loopback address, then stop it and remove its directory.

    Raises PostgresError, PortTaken among them, with nothing left behind. A server that dies in between is not
    restarted: see `PostgresCluster.wait_exit`.
    """
    if watchdog is not None:
        watchdog.remove(config.directory)
        watchdog.postgres(config.data_directory)
    server = await trio.to_thread.run_sync(_boot, config)
    try:
        yield PostgresCluster(server)
    finally:
        # Bounded: every stage of stop() has its own deadline.
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.stop)


class PostgresCluster:
    """A server that `open_postgres` owns."""

    def __init__(self, server: EphemeralPostgresql) -> None:
        self._server = server
        self._started = trio.Event()
        self._started.set()
        self._ended_on_request: object = None
        self._changing = trio.Lock()
        self.url = server.url()
        """`postgresql://root@[::1]:PORT/omicron?sslmode=disable`; stays the same when the server is started again."""
        self.address: SocketAddr = server.address
        self.directory: Path = server.config.directory
        self.log_path: Path = server.config.log_path

    @property
    def pid(self) -> int | None:
        """The postmaster's; None while the server is stopped."""
        return None if self._server.child_process is None else self._server.child_process.pid

    async def wait_exit(self) -> ExitStatus:
        """Return when the server has died without having been asked to. Cancelling is safe."""
        while True:
            await self._started.wait()
            process = self._server.child_process
            if process is not None:
                status = await trio.to_thread.run_sync(self._server.wait_for, process, abandon_on_cancel=True)
                if process is not self._ended_on_request:
                    return status
            await trio.lowlevel.checkpoint()

    async def stop(self) -> None:
        """Stop the server and keep its data. Does nothing if it is stopped."""
        async with self._changing:
            if not self._started.is_set():
                return
            self._started = trio.Event()
            self._ended_on_request = self._server.child_process
            await trio.to_thread.run_sync(partial(self._server.terminate, interrupt_grace_s=STOP_GRACE_S))

    async def start(self) -> None:
        """Start a stopped server again, on the same port with the same data. Does nothing if it runs.

        Raises PortTaken or PostgresError; the server is then still stopped.
        """
        async with self._changing:
            if self._started.is_set():
                return
            await trio.to_thread.run_sync(self._server.start)
            self._started.set()

    async def refill_spare(self) -> None:
        """Copy the template for the next start, where that makes the next start quicker. Safe to cancel.

        Call it when nothing waits for the processor any more: once the whole stack is up.
        """
        provision = self._server.provision
        if provision is None or not provision.spare_is_worthwhile:
            return
        stop = threading.Event()
        done = trio.Event()

        async def refill() -> None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._server.source.refill_spare, stop)
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refill)
            try:
                await done.wait()
            finally:
                with trio.move_on_after(SPARE_GRACE_S, shield=True):
                    await done.wait()
                stop.set()


def _boot(config: ClusterConfig) -> EphemeralPostgresql:
    from simstack.cluster import boot_cluster  # 30 ms, off the main thread

    return boot_cluster(config)
