"""psycopg on trio.

psycopg's `AsyncConnection` is written for asyncio, but all that it does with a socket is in generators that yield what
they wait for (`Wait.R`, `Wait.W`, `Wait.RW`) and are sent what is ready. Only `connect()`, `wait()`, `cancel_safe()`
and `lock` touch the event loop; this module replaces these four. It leans on private names, so psycopg's minor version
is pinned and `tests/unit/db/test_psycopg_names.py` holds every one of them.

What cancelling does, which is where trio and asyncio differ most:

- While the server works on a query: the query is cancelled in the server, the rest of its answer is read, and
  `Cancelled` goes on. The connection stays usable. If the query came to its end all the same, its result is returned
  instead and the next checkpoint raises: a BEGIN or COMMIT that took place is never taken for one that did not.
- With the scope *already* cancelled (ROLLBACK on the way out of a `transaction()` block, the end of a pipeline): trio
  would raise at once and leave the connection inside its transaction. It runs shielded instead.
- `execute()` and `executemany()` raise first if the scope is cancelled, or a loop of queries would never stop.

All of that clean-up is bounded by `CLEANUP_GRACE_S`; what takes longer costs the connection, which is closed.

A connection serves one task at a time. COPY, `stream()` and `notifies()` are not adapted: do not use them.
"""

from __future__ import annotations

import logging
import select
import selectors
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import psycopg
import trio
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import Row, TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.waiting import Ready, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType
    from typing import Self

    from psycopg import AsyncTransaction
    from psycopg.abc import Params, PQGen, PQGenConn, Query
    from psycopg.pq.abc import PGconn

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0

CLEANUP_GRACE_S = 5.0
"""How long a cancelled task may be held up while the server is told and the connection is put in order."""

BUSY_LIMIT_S = 0.005
"""How long a query may keep all other tasks waiting. A pipeline's socket is nearly always ready, so it never sleeps."""

SESSION_OPTIONS = "-c timezone=UTC"

DEFAULT_OPTIONS = "-c transaction_timeout=5s"
"""A process that is stopped in a transaction keeps its locks until the server ends that. What the conninfo says itself
has precedence. (`idle_in_transaction_session_timeout` does not fire while a statement's answer is unread.)
"""

TCP_SETTINGS = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 15_000}
"""A peer that vanished without a word is noticed in about 25 s. What the conninfo says itself has precedence."""

# psycopg warns of a rollback that fails because the connection is gone, beside the exception that says so.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


def _json_by_msgspec() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    set_json_dumps(msgspec.json.encode, context=adapters)
    set_json_loads(msgspec.json.decode, context=adapters)
    return adapters


ADAPTERS = _json_by_msgspec()


def _is_cancelled() -> bool:
    return trio.current_effective_deadline() == float("-inf")


class Cursor(psycopg.AsyncCursor[Row]):
    """Stops a loop of queries when its scope is cancelled."""

    __slots__ = ()

    async def execute(self, *args: Any, **kwargs: Any) -> Self:
        await trio.lowlevel.checkpoint_if_cancelled()
        return await super().execute(*args, **kwargs)

    async def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        await super().executemany(query, params_seq, returning=returning)


class _Lock:
    """What psycopg asks of asyncio.Lock. Taking it free is no checkpoint, and a cancelled task gets it too."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            if _is_cancelled():
                with trio.move_on_after(CLEANUP_GRACE_S, shield=True):
                    await self._lock.acquire()
                    return
            await self._lock.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


class Connection(psycopg.AsyncConnection[TupleRow]):
    """One session with the database, autocommitting: what belongs together goes in `async with transaction()`.

    Rows are tuples unless a cursor is given another row factory; JSON goes through msgspec (write it as
    `Jsonb(value)`); times are aware and in UTC. Whoever opened it closes it; `pool.Pool` does for its users.
    """

    def __init__(self, pgconn: PGconn, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self.lock = _Lock()  # type: ignore[assignment]
        self.cursor_factory = Cursor
        self._autocommit = True
        self._adapters = AdaptersMap(ADAPTERS)
        self._slept_at = monotonic()
        self._poll = select.poll()
        self._poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        self._either: selectors.DefaultSelector | None = None
        self._last_words: list[str] = []
        # Not a method of this object: the reference cycle would keep a forgotten connection from being noticed.
        self.add_notice_handler(partial(_keep_last_words, self._last_words))

    @classmethod
    async def connect(cls, conninfo: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> Self:  # type: ignore[override]
        """Open a connection, trying each address of each host in turn with `timeout_s` for each.

        Raises psycopg.OperationalError with the last address' error. Safe to cancel.
        """
        params: dict[str, Any] = TCP_SETTINGS | conninfo_to_dict(conninfo)
        params["options"] = f"{DEFAULT_OPTIONS} {params.get('options', '')} {SESSION_OPTIONS}"
        # Looks host names up, so it may block.
        attempts = await trio.to_thread.run_sync(conninfo_attempts, params, abandon_on_cancel=True)
        failure: psycopg.Error = psycopg.OperationalError("the conninfo names no host")
        for attempt in attempts:
            with trio.move_on_after(timeout_s):
                try:
                    return await _drive_connecting(cls._connect_gen(make_conninfo("", **attempt)))
                except psycopg.Error as error:
                    failure = error
                    continue
            failure = psycopg.errors.ConnectionTimeout(f"no answer in {timeout_s:g} s")
        raise failure

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        outermost = self.pgconn.transaction_status == TransactionStatus.IDLE
        depth = self._num_transactions
        try:
            async with super().transaction(savepoint_name, force_rollback) as transaction:
                yield transaction
        finally:
            # psycopg counts a transaction whose BEGIN was cancelled, and takes a cancelled COMMIT for the end of one.
            self._num_transactions = depth
            if outermost and self.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                await self.rollback()

    async def wait(  # psycopg's signature
        self,
        gen: PQGen[T],
        interval: float = 0.0,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> T:
        if timeout is not None:
            raise NotImplementedError("only notifies() gives a timeout here, and that is not adapted to trio")
        try:
            return await self._wait(gen)
        except psycopg.errors.QueryCanceled:
            # Our own request to cancel, which a pipeline answers in a later wait than the one that made it.
            await trio.lowlevel.checkpoint_if_cancelled()
            raise

    async def _wait(self, gen: PQGen[T]) -> T:
        if _is_cancelled():
            with trio.move_on_after(CLEANUP_GRACE_S, shield=True):
                return await self._drive(gen)
            self._abandon(gen)
            await trio.lowlevel.checkpoint_if_cancelled()
            raise AssertionError("a scope that was cancelled stays cancelled")
        try:
            return await self._drive(gen)
        except trio.Cancelled:
            with trio.move_on_after(CLEANUP_GRACE_S, shield=True) as grace, suppress(psycopg.Error):
                with suppress(psycopg.Error):
                    await self._cancel_in_server()
                return await self._drive(gen, first=Ready.NONE)
            if grace.cancelled_caught:
                self._abandon(gen)
            raise

    async def cancel_safe(self, *, timeout: float = CLEANUP_GRACE_S) -> None:  # noqa: ASYNC109
        """Ask the server to give up the query under way; returns when it has been told, and may come too late."""
        with trio.move_on_after(timeout):
            await self._cancel_in_server()
            return
        raise psycopg.errors.CancellationTimeout("cancellation timeout expired")

    async def close(self) -> None:
        """Close at once, without a checkpoint. A task that waits on this connection gets psycopg.OperationalError."""
        if self.closed:
            return
        self._closed = True
        self._finish()

    def is_usable(self) -> bool:
        """Whether a connection nobody uses can be handed out; no round trip.

        What a server says to an idle connection is read: most often that it is closing it, or just the end.
        """
        if self.closed or self.pgconn.transaction_status != TransactionStatus.IDLE:
            return False
        try:
            while self._ready_now(Wait.R):
                self.pgconn.consume_input()
                self.pgconn.is_busy()  # has libpq parse what it read
        except psycopg.OperationalError:
            return False
        return not self._last_words

    async def _cancel_in_server(self) -> None:
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            await _drive_connecting(self._cancel_gen())

    async def _drive(self, gen: PQGen[T], *, first: Ready | None = None) -> T:
        """Resume the generator until it ends. After Cancelled, another call with `first=Ready.NONE` goes on with it."""
        fd = self.pgconn.socket
        try:
            state = next(gen) if first is None else gen.send(first)
            while True:
                try:
                    ready = await self._ready(fd, state)
                except (trio.ClosedResourceError, OSError) as error:
                    self._abandon(gen)
                    raise psycopg.OperationalError("the connection was closed while a query waited") from error
                except KeyboardInterrupt:
                    self._abandon(gen)
                    raise
                state = gen.send(ready)
        except StopIteration as stop:
            result: T = stop.value
        if monotonic() - self._slept_at > BUSY_LIMIT_S:
            await trio.lowlevel.cancel_shielded_checkpoint()
            self._slept_at = monotonic()
        return result

    async def _ready(self, fd: int, state: Wait) -> Ready:
        if state == Wait.R:
            await trio.lowlevel.wait_readable(fd)
            self._slept_at = monotonic()
            return Ready.R
        if monotonic() - self._slept_at > BUSY_LIMIT_S:
            await trio.lowlevel.checkpoint()
            self._slept_at = monotonic()
        while not (ready := self._ready_now(state)):
            if state == Wait.W:
                await trio.lowlevel.wait_writable(fd)
            else:
                await self._either_way(fd)
            self._slept_at = monotonic()
        return ready

    def _ready_now(self, state: Wait) -> Ready:
        """What is ready without waiting. An error or a hang-up counts as both: the next call on it will tell."""
        ready = 0
        for _, events in self._poll.poll(0):
            if events & ~select.POLLOUT and state & Wait.R:
                ready |= Ready.R
            if events & ~select.POLLIN and state & Wait.W:
                ready |= Ready.W
        return Ready(ready)

    async def _either_way(self, fd: int) -> None:
        """Wait for readable or writable. A selector that watches for both is itself readable when either is so."""
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ | selectors.EVENT_WRITE)
            self._either = selector
            try:
                await trio.lowlevel.wait_readable(selector.fileno())
            finally:
                self._either = None

    def _finish(self) -> None:
        if self._either is not None:
            trio.lowlevel.notify_closing(self._either.fileno())
        with suppress(psycopg.OperationalError):  # the socket is gone already
            trio.lowlevel.notify_closing(self.pgconn.socket)
        self.pgconn.finish()

    def _abandon(self, gen: PQGen[Any]) -> None:
        """Close the connection under a generator that will not be resumed."""
        self._finish()
        # A pipeline's generator has a `finally` that goes on talking; without a connection it raises at once.
        with suppress(psycopg.Error):
            gen.close()


def _keep_last_words(last_words: list[str], notice: psycopg.errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "FATAL":
        last_words.append(notice.message_primary or "")


async def _drive_connecting(gen: PQGenConn[T]) -> T:
    """As `Connection._drive`, for the generators whose socket may change: connecting, and asking to cancel."""
    try:
        fd, state = next(gen)
        while True:
            if state == Wait.R:
                await trio.lowlevel.wait_readable(fd)
                ready = Ready.R
            else:
                await trio.lowlevel.wait_writable(fd)
                ready = Ready.W
            fd, state = gen.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result
