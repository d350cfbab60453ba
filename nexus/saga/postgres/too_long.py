"""Transactions that the server ends for the time they took: the 5 s that every connection has for one.

The database is not away then, and the same transaction would take as long again; a part of it may not.
"""

from __future__ import annotations

import psycopg


def took_too_long(error: BaseException | None) -> bool:
    """Whether that is what has led to this error."""
    while error is not None:
        if isinstance(error, psycopg.errors.TransactionTimeout):
            return True
        error = error.__cause__
    return False
