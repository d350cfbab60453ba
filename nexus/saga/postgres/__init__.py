"""The store of sagas in Postgres. Needs psycopg, and `nexus.db`'s connection and pool; the engine itself does not."""

from __future__ import annotations

from nexus.saga.postgres.store import PostgresSecStore

__all__ = ["PostgresSecStore"]
