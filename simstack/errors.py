"""What simstack raises: every message is one sentence for the user."""

from __future__ import annotations


class SimstackError(Exception):
    """A stack, or a part of it, cannot do what it was asked."""


class DirectoryError(SimstackError):
    """No directory can be made, or the one that is there is not safe to use."""


class PostgresError(SimstackError):
    """Postgres cannot be found, initialized or started."""


class PortTaken(PostgresError):
    """Another process listens where Postgres was to listen."""
