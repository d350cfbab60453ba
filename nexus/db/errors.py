"""What the database layer raises beside psycopg's own errors."""

from __future__ import annotations


class DatabaseUnavailable(Exception):
    """The database cannot be reached, went away, or did not answer in time. Nothing is known to have been committed.

    The text is one line for the user: it names the database's address and what was met there.
    """

    status = 503
    retryable = True


class PoolRetired(DatabaseUnavailable):
    """This process is not to use the database any more, with the reason."""


class PoolClosed(Exception):
    """The pool was closed while, or before, somebody waited for a connection: a bug in the order of shutting down."""
