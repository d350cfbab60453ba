"""A pool of database connections that outlives its database.

Connections are opened when they are needed and kept when they are given back; nothing runs in the background. A
connection that the server closed while it lay idle is noticed when it is taken, without a round trip. So the pool can
be opened before there is a server, and a server that stops and comes back costs its users only what they did meanwhile.

Whoever uses it sees `DatabaseUnavailable` when the database is away, and psycopg's own errors for all that concerns
the statement. Every wait is bounded, see `Timeouts`.
"""

from __future__ import annotations

import math
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import psycopg
import trio
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from nexus.db.connection import Connection
from nexus.db.errors import DatabaseUnavailable, PoolClosed, PoolRetired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from dropshot.logging import Log

T = TypeVar("T")

DEFAULT_SIZE = 6

RETRIED_SQLSTATES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction was rolled back for another's sake."""

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the pool's users wait, in seconds."""

    connect_s: float = 3.0
    """For each address of the server."""

    checkout_s: float = 10.0
    """For a connection while all are in use."""

    attempt_s: float = 10.0
    """For one run of a function given to `Pool.transaction`."""

    retry_s: float = 3.0
    """How long after its start `Pool.transaction` still begins another run."""


@dataclass(frozen=True, slots=True)
class PoolClaim:
    """Of a connection that is borrowed, and by which trio task."""

    number: int
    since: datetime
    task: str


class Pool:
    """Made by `open_pool`."""

    def __init__(self, conninfo: str, *, size: int, log: Log, timeouts: Timeouts) -> None:
        self._conninfo = conninfo
        self._log = log
        self._timeouts = timeouts
        self._size = size
        self._places = trio.Semaphore(size)
        self._idle: list[Connection] = []  # the last one given back is the first to be taken
        self._in_use: dict[Connection, PoolClaim] = {}
        self._claims_made = 0
        self._closed = False
        self._retired: str | None = None
        self._reachable = True
        self.address = _address(conninfo)
        """Where the database is, for people: `[::1]:5432`."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection. It autocommits; a transaction is `async with connection.transaction()`.

        Nothing is run again: at a strict isolation level even a single statement may end in a serialization failure.
        Raises DatabaseUnavailable if none can be had in time, or if it is lost while it is borrowed, whatever the
        block raised then. Safe to cancel.
        """
        async with self._place():
            connection = await self._take()
            self._claims_made += 1
            self._in_use[connection] = PoolClaim(
                self._claims_made, datetime.now(UTC), trio.lowlevel.current_task().name
            )
            try:
                yield connection
            except (psycopg.OperationalError, psycopg.errors.TransactionTimeout) as error:
                if self._closed:
                    raise await _closed_under("a query") from error
                if not connection.closed:
                    raise
                await trio.lowlevel.checkpoint_if_cancelled()
                self._note_unreachable(error)
                raise DatabaseUnavailable(
                    f"the connection to the database at {self.address} was lost: {_reason(error)}"
                ) from error
            finally:
                self._in_use.pop(connection, None)
                await self._give_back(connection)

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `fn` inside one transaction and return what it returned once that is committed.

        `fn` is run again, in a new transaction, after a serialization failure, a deadlock or a lost connection. A
        connection can be lost when the commit was already done, so `fn` must be such that a second run after a
        committed one does no harm. It must not swallow psycopg's errors.

        Raises DatabaseUnavailable when the time for retries (`Timeouts.retry_s`) has run out, or when one run took
        longer than `Timeouts.attempt_s`. All other errors of `fn` roll the transaction back and are raised as they are.
        """
        give_up_at = trio.current_time() + self._timeouts.retry_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                with trio.move_on_after(self._timeouts.attempt_s):
                    async with self.connection() as connection, connection.transaction():
                        result = await fn(connection)
                    return result
                raise DatabaseUnavailable(
                    f"the database at {self.address} took longer than {self._timeouts.attempt_s:g} s"
                )
            except PoolRetired:
                raise
            except DatabaseUnavailable:
                if trio.current_time() + pause_s > give_up_at:
                    raise
            except psycopg.OperationalError as error:
                if error.sqlstate not in RETRIED_SQLSTATES:
                    raise
                if trio.current_time() + pause_s > give_up_at:
                    raise DatabaseUnavailable(
                        f"the database at {self.address} is too busy: {_reason(error)}"
                    ) from error
            # Two that collided must not meet again at the same moment.
            await trio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def claims(self) -> list[PoolClaim]:
        """The connections that are borrowed now, the oldest claim first."""
        return list(self._in_use.values())

    async def retire(self, reason: str) -> None:
        """Lend no connection any more, and return when all are given back. Whoever wants one gets PoolRetired."""
        self._retired = reason
        for _ in range(self._size):
            await self._places.acquire()
        while self._idle:
            await self._idle.pop().close()

    async def close(self) -> None:
        """Close every connection, also those in use. Whoever waits gets PoolClosed."""
        self._closed = True
        for connection in [*self._idle, *self._in_use]:
            await connection.close()
        self._idle.clear()
        for _ in range(self._places.statistics().tasks_waiting):
            self._places.release()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        await self._check_open()
        with trio.move_on_after(self._timeouts.checkout_s) as scope:
            await self._places.acquire()
        if scope.cancelled_caught:
            raise DatabaseUnavailable(
                f"all connections to the database at {self.address} were in use for {self._timeouts.checkout_s:g} s"
            )
        try:
            await self._check_open()
            yield
        finally:
            self._places.release()

    async def _check_open(self) -> None:
        if self._closed:
            raise await _closed_under("a request for a connection")
        if self._retired is not None:
            raise PoolRetired(self._retired)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            await connection.close()
        try:
            connection = await Connection.connect(self._conninfo, timeout_s=self._timeouts.connect_s)
        except psycopg.OperationalError as error:
            self._note_unreachable(error)
            raise DatabaseUnavailable(f"the database at {self.address} cannot be reached: {_reason(error)}") from error
        if self._closed:
            await connection.close()
            raise await _closed_under("a connection being made")
        if not self._reachable:
            self._reachable = True
            self._log.info("database can be reached again", address=self.address)
        return connection

    async def _give_back(self, connection: Connection) -> None:
        if not connection.closed and connection.pgconn.transaction_status != TransactionStatus.IDLE:
            self._log.warning("connection given back inside a transaction; closing it", address=self.address)
            await connection.close()
        if self._closed:
            await connection.close()
        elif not connection.closed:
            self._idle.append(connection)

    def _note_unreachable(self, error: psycopg.Error) -> None:
        if self._reachable:
            self._reachable = False
            self._log.warning("database cannot be reached", address=self.address, error=_reason(error))


@asynccontextmanager
async def open_pool(
    conninfo: str, *, size: int = DEFAULT_SIZE, log: Log, timeouts: Timeouts | None = None
) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections. Does no I/O before the first use; closes all of them at the end.

    Raises psycopg.ProgrammingError if the conninfo cannot be parsed.
    """
    pool = Pool(conninfo, size=size, log=log, timeouts=timeouts or Timeouts())
    try:
        yield pool
    finally:
        await pool.close()


async def _closed_under(what: str) -> PoolClosed:
    """Whoever is being cancelled together with the pool is told that, and not that the pool was quicker."""
    await trio.lowlevel.checkpoint_if_cancelled()
    return PoolClosed(f"the connection pool was closed under {what}")


def _address(conninfo: str) -> str:
    params = conninfo_to_dict(conninfo)
    hosts = str(params.get("host") or params.get("hostaddr") or "localhost").split(",")
    ports = str(params.get("port") or 5432).split(",")
    pairs = zip(hosts, ports * math.ceil(len(hosts) / len(ports)), strict=False)
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs)


def _reason(error: psycopg.Error) -> str:
    """libpq's message without its hints, and without the address that is named beside it."""
    first_line = str(error).strip().partition("\n")[0]
    return first_line.rpartition(" failed: ")[2] or type(error).__name__
