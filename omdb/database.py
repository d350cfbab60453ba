"""A session with the control plane's database, for the `omdb db` commands: plain psycopg, one connection.

The session is read-only; only `write`, which takes the token, opens a transaction that is not. Nothing is waited on for
ever, and every failure is an OmdbError of a line or two that names the address.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from nexus.db.schema_version import SCHEMA_VERSION
from nexus.db.unreadable import UnreadableRecord
from omdb.errors import OmdbError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.abc import PQGen

    from omdb.log import Log
    from omdb.safety import DestructiveToken

    T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
"""For each address."""

STATEMENT_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 10

SILENCE_TIMEOUT_S = STATEMENT_TIMEOUT_S + 5
"""For a server that no longer minds its own timeout, because it was stopped or cannot be reached any more."""

WRITE_ATTEMPTS = 5
"""A transaction that collided with another (SQLSTATE 40001, 40P01) changed nothing, and is tried again."""

_OTHER_PROTOCOL = ("expected authentication", "received invalid response", "server closed the connection")
"""How libpq says that what answers is something else."""

_SESSION = (
    f"-c timezone=UTC -c default_transaction_read_only=on"
    f" -c statement_timeout={STATEMENT_TIMEOUT_S}s -c lock_timeout={LOCK_TIMEOUT_S}s"
)


# psycopg warns of a rollback that fails because the connection is gone, beside the exception that says so.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class _Connection(psycopg.Connection):
    """Waits for no answer longer than SILENCE_TIMEOUT_S."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, timeout or SILENCE_TIMEOUT_S)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer in {timeout or SILENCE_TIMEOUT_S:g} s") from None


class Database:
    """Connected. `address` is `[::1]:5432`, several joined by commas."""

    def __init__(self, connection: psycopg.Connection, *, address: str) -> None:
        self.address = address
        self._connection = connection

    @classmethod
    def connect(cls, url: str, *, log: Log) -> Database:
        """Raises OmdbError, and ValueError for a URL that is none."""
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("expected postgresql://USER@HOST:PORT/DATABASE")
        try:
            parameters = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise ValueError(_first_line(error)) from None
        address = _address(str(parameters.get("host") or ""), str(parameters.get("port") or ""))
        options = f"{parameters.get('options') or ''} {_SESSION}".strip()
        log.debug("connecting to the database", address=address)
        try:
            connection = _Connection.connect(url, autocommit=True, options=options, connect_timeout=CONNECT_TIMEOUT_S)
        except psycopg.errors.ConnectionTimeout:
            raise OmdbError(
                f"no answer from the database at {address} within {CONNECT_TIMEOUT_S} s; does it speak Postgres?"
            ) from None
        except (psycopg.Error, UnicodeError) as error:
            raise OmdbError(f"cannot use the database at {address}: {_why_not_connected(error)}") from None
        return cls(connection, address=address)

    def close(self) -> None:
        self._connection.close()

    def schema_version(self) -> int:
        with self._failures():
            try:
                row = self._connection.execute("SELECT schema_version FROM db_metadata").fetchone()
            except psycopg.errors.UndefinedTable:
                row = None
            if row is None:
                raise OmdbError(
                    f"the database at {self.address} has no schema of the control plane (expected version"
                    f" {SCHEMA_VERSION}); is it the right one?"
                )
            version: int = row[0]
            return version

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection]:
        """One transaction, in which everything is seen as of one moment."""
        with self._failures(), self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield self._connection

    def write(self, repair: Callable[[psycopg.Connection], T], _: DestructiveToken) -> T:
        """Run `repair` in a transaction, at READ COMMITTED. What it raises rolls back."""
        with self._failures():
            for _attempt in range(WRITE_ATTEMPTS - 1):
                try:
                    return self._transact(repair)
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    continue
            return self._transact(repair)

    def _transact(self, repair: Callable[[psycopg.Connection], T]) -> T:
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
            result = repair(self._connection)
        return result

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable:
            raise OmdbError(
                f"another session with the database at {self.address} has locked the saga for {LOCK_TIMEOUT_S} s;"
                " nothing was changed"
            ) from None
        except psycopg.errors.QueryCanceled:
            raise OmdbError(f"the database at {self.address} took longer than {STATEMENT_TIMEOUT_S} s") from None
        except UnreadableRecord as error:
            raise OmdbError(f"the database at {self.address}: {error}") from None
        except psycopg.Error as error:
            what = "the connection was lost" if self._connection.broken else "it refused"
            raise OmdbError(f"the database at {self.address}: {what}: {_first_line(error)}") from None


def _address(hosts: str, ports: str) -> str:
    each_host = hosts.split(",") if hosts else ["localhost"]
    each_port = ports.split(",") if ports else ["5432"]
    pairs = zip(each_host, each_port * math.ceil(len(each_host) / len(each_port)), strict=False)
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs)


def _why_not_connected(error: Exception) -> str:
    """libpq's own reason, without the address, which is named beside it, and without hints."""
    reason = _first_line(error).rpartition(" failed: ")[2].removeprefix("FATAL:").removeprefix("ERROR:").strip()
    question = "; does it speak Postgres?" if reason.startswith(_OTHER_PROTOCOL) else ""
    return reason[:1].lower() + reason[1:] + question


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
