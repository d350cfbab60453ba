"""What Nexus refuses, as upstream's error types. One tree; `nexus.api.http_errors` maps it to HTTP.

A message is for the user: what, which id, why, what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID


class NexusError(Exception):
    """`status` and `error_code` are those of the response; `retryable`: the same request may succeed later."""

    status: ClassVar[int]
    error_code: ClassVar[str | None]
    retryable: ClassVar[bool] = False


class InvalidRequest(NexusError):
    status = 400
    error_code = "InvalidRequest"


class Unauthenticated(NexusError):
    """Says no more than that, whatever was wrong with the credentials."""

    status = 401
    error_code = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("credentials missing or invalid")


class TooManyRequests(NexusError):
    status = 429
    error_code = "TooManyRequests"
    retryable = True


class ObjectNotFound(NexusError):
    """`not found: <type> with id "<id>"`, with upstream's names of types (`saga-dbg`, `background-task`)."""

    status = 404
    error_code = "ObjectNotFound"

    @classmethod
    def by_id(cls, type_name: str, id_: UUID) -> ObjectNotFound:
        return cls(f'not found: {type_name} with id "{id_}"')

    @classmethod
    def by_name(cls, type_name: str, name: str) -> ObjectNotFound:
        return cls(f'not found: {type_name} with name "{name}"')

    @classmethod
    def by_names(cls, what: str, names: Iterable[str]) -> ObjectNotFound:
        return cls(f"not found: {what}: {', '.join(sorted(names))}")


class NotFound(NexusError):
    """Something that is no stored object. The message goes out as it is."""

    status = 404
    error_code = "Not Found"


class ObjectAlreadyExists(NexusError):
    """`already exists: <type> "<name>"`."""

    status = 400
    error_code = "ObjectAlreadyExists"

    @classmethod
    def of(cls, type_name: str, name: str) -> ObjectAlreadyExists:
        return cls(f'already exists: {type_name} "{name}"')


class Conflict(NexusError):
    status = 409
    error_code = "Conflict"


class ServiceUnavailable(NexusError):
    """Something that Nexus needs is not there yet, or not now. Upstream hides the reason; here it is the message."""

    status = 503
    error_code = "ServiceNotAvailable"
    retryable = True


class InternalError(NexusError):
    """A bug, or a database that holds what it must not. The client gets the request id, the log the message."""

    status = 500
    error_code = "Internal"
