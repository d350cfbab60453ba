"""The one place where errors of Nexus, its saga engine and its database become HTTP answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from dropshot.app import error_response
from dropshot.errors import HttpError, internal_error
from nexus.db.errors import DatabaseUnavailable
from nexus.deployment.edits import EditRefused
from nexus.errors import InternalError, InvalidRequest, NexusError, ObjectNotFound, ServiceUnavailable
from nexus.saga.errors import DetailsGone, InjectionRefused, SagaEnded, SagaError, SagaExists, SagaLost, SagaNotFound

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.app import App


def answer_errors(app: App) -> None:
    """Have `app` answer these errors as upstream would."""

    async def respond(error: Exception) -> TrioResponse:
        return await error_response(http_error(error))

    for error_type in (
        NexusError,
        EditRefused,
        SagaError,
        DatabaseUnavailable,
        psycopg.OperationalError,
        psycopg.DataError,
    ):
        app.register_error_handler(error_type, respond)


def http_error(error: Exception) -> HttpError:
    """What a client is told of `error`, which is one of those registered above."""
    match error:
        case InternalError():
            return internal_error(str(error))
        case NexusError():
            return HttpError(error.status, str(error), error_code=error.error_code)
        case EditRefused():
            return http_error(InvalidRequest(str(error)))
        case SagaNotFound():
            return http_error(ObjectNotFound.by_id("saga-dbg", error.saga_id))
        case DetailsGone():
            return HttpError(404, str(error), error_code="Not Found")
        case SagaLost() | SagaEnded() | SagaExists() | InjectionRefused():
            return HttpError(409, str(error), error_code="Conflict")
        case psycopg.DataError():  # a NUL in a text, for one
            return http_error(InvalidRequest(f"the database cannot hold what the request says: {error}"))
        case DatabaseUnavailable() | psycopg.OperationalError() | SagaError(retryable=True):
            return http_error(ServiceUnavailable(str(error)))
        case _:
            return internal_error(f"{type(error).__name__}: {error}")
