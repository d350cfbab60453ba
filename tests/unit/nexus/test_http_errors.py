"""Errors as a client of Nexus sees them."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from nexus.api.http_errors import http_error
from nexus.db.errors import DatabaseUnavailable
from nexus.errors import (
    Conflict,
    InternalError,
    InvalidRequest,
    NexusError,
    NotFound,
    ObjectNotFound,
    ServiceUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from nexus.saga import OutcomeUnknown, SagaEnded, SagaId, SagaLost, SagaNotFound, StoreUnavailable, UnrunnableSaga

ID = UUID("f7765d6a-6e45-4c13-8904-2677b79a97eb")


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (ObjectNotFound.by_id("saga-dbg", ID), 404, "ObjectNotFound", f'not found: saga-dbg with id "{ID}"'),
        (ObjectNotFound.by_name("t", "n"), 404, "ObjectNotFound", 'not found: t with name "n"'),
        (ObjectNotFound.by_names("tasks", {"b", "a"}), 404, "ObjectNotFound", "not found: tasks: a, b"),
        (NotFound("as it is"), 404, "Not Found", "as it is"),
        (InvalidRequest("why"), 400, "InvalidRequest", "why"),
        (Conflict("why"), 409, "Conflict", "why"),
        (ServiceUnavailable("why"), 503, "ServiceNotAvailable", "why"),
        (Unauthenticated(), 401, "Unauthorized", "credentials missing or invalid"),
        (TooManyRequests("why"), 429, "TooManyRequests", "why"),
        (DatabaseUnavailable("the database is away"), 503, "ServiceNotAvailable", "the database is away"),
        (psycopg.OperationalError("lock timeout"), 503, "ServiceNotAvailable", "lock timeout"),
        (
            psycopg.DataError("text fields cannot contain NUL (0x00) bytes"),
            400,
            "InvalidRequest",
            "the database cannot hold what the request says: text fields cannot contain NUL (0x00) bytes",
        ),
        (StoreUnavailable("away"), 503, "ServiceNotAvailable", "away"),
        (OutcomeUnknown("away"), 503, "ServiceNotAvailable", "away"),
        (SagaNotFound(SagaId(ID)), 404, "ObjectNotFound", f'not found: saga-dbg with id "{ID}"'),
        (SagaEnded("it ended"), 409, "Conflict", "it ended"),
        (SagaLost(SagaId(ID), "was adopted"), 409, "Conflict", f"saga {ID} was adopted"),
    ],
)
def test_what_the_client_is_told(error: Exception, status: int, code: str, message: str) -> None:
    answer = http_error(error)
    assert (answer.status, answer.error_code, answer.message) == (status, code, message)


@pytest.mark.parametrize("error", [InternalError("secret state"), UnrunnableSaga("secret state")])
def test_a_bug_is_told_to_the_log_only(error: Exception) -> None:
    answer = http_error(error)
    assert (answer.status, answer.error_code, answer.message) == (500, "Internal", "Internal Server Error")
    assert answer.internal_message is not None
    assert "secret state" in answer.internal_message


def test_every_error_of_the_tree_has_a_status() -> None:
    for error_type in NexusError.__subclasses__():
        assert 400 <= error_type.status < 600
        assert error_type.retryable == (error_type.status in (429, 503))
