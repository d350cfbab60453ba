"""What a handler raises to refuse a request, and the body that the client gets."""

from __future__ import annotations

import msgspec


class HttpError(Exception):
    """A request that ends with `status` instead of a result.

    `message` goes to the client, `internal_message` (where there is more to say) only to the log.
    """

    def __init__(
        self, status: int, message: str, *, error_code: str | None = None, internal_message: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_code = error_code
        self.internal_message = internal_message

    def body(self, request_id: str) -> bytes:
        """JSON `{"request_id", "error_code", "message"}`, pretty-printed; no `error_code` if None."""
        body = _ErrorBody(request_id=request_id, error_code=self.error_code, message=self.message)
        return msgspec.json.format(msgspec.json.encode(body), indent=2)


def bad_request(message: str) -> HttpError:
    """What the client sent cannot be read: upstream's 400 without a code."""
    return HttpError(400, message)


def internal_error(internal_message: str) -> HttpError:
    """A bug: the client learns the request id, the log the rest."""
    return HttpError(500, "Internal Server Error", error_code="Internal", internal_message=internal_message)


class _ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    request_id: str
    error_code: str | None = None
    message: str
