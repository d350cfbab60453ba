"""An HTTP application in upstream's manner, and what its handlers use.

A handler is a Quart view that returns `reply(value)` or `no_content()` and raises `HttpError` to refuse. The layer
around it (`dropshot.asgi`) deals in request ids, bodies and log lines; `dropshot.server` puts it on a socket.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from quart import request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dropshot.asgi import RequestLayer, RequestRecord, record_of
from dropshot.errors import HttpError, bad_request, internal_error
from dropshot.pagination import PageParams, parse_page_params
from dropshot.uuids import parse_uuid

if TYPE_CHECKING:
    from uuid import UUID

    from dropshot.logging import Log
    from dropshot.versions import ApiVersions

T = TypeVar("T")

DEFAULT_MAX_BODY_BYTES = 1024 * 1024

_JSON = "application/json"
_MSGSPEC_TRUNCATED = "Input data was truncated"
"""What msgspec says of a body that is cut off, and of "\\ud800" in one that is not."""
_OTHER_KNOWN_CONTENT_TYPES = {"application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"}


class App(QuartTrio):
    """A QuartTrio application that knows the name under which it logs."""

    def __init__(self, component: str) -> None:
        super().__init__("dropshot", static_folder=None)
        self.component = component


def new_app(
    name: str, *, log: Log, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES, api_versions: ApiVersions | None = None
) -> App:
    """An application without routes whose every answer, errors included, looks like upstream's.

    `name` is the `component` of its log lines (`dropshot_internal`). With `api_versions`, a request must carry an
    `api-version` header that they allow; `current_request().api_version` tells the handler which.
    """
    app = App(name)
    app.config.update(MAX_CONTENT_LENGTH=None, RESPONSE_TIMEOUT=None, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.register_error_handler(HttpError, error_response)
    app.register_error_handler(HTTPException, _routing_error_response)
    app.register_error_handler(Exception, _bug_response)
    app.asgi_app = RequestLayer(  # type: ignore[method-assign]
        app.asgi_app, log=log.bind(component=name), max_body_bytes=max_body_bytes, api_versions=api_versions
    )
    return app


def current_request() -> RequestRecord:
    """The record of the request being handled: its id, its logger, its API version."""
    return record_of(cast("dict[str, Any]", request.scope))


def reply(value: object, status: int = 200) -> TrioResponse:
    """`value` as JSON, the way msgspec spells it."""
    return TrioResponse(msgspec.json.encode(value), status, content_type=_JSON)


def no_content() -> TrioResponse:
    response = TrioResponse(b"", 204)
    del response.headers["content-type"]
    del response.headers["content-length"]  # which a 204 must not have (RFC 9110, 8.6)
    return response


async def read_json(type_: type[T]) -> T:
    """The request's body as a `type_`. Members that it does not know are ignored.

    Raises HttpError 400: body too large, another content type (none at all counts as JSON), or not such JSON; the
    message then begins with the path of the bad member.
    """
    record = current_request()
    if record.body_refusal is not None:
        raise record.body_refusal
    if "content-type" in request.headers:
        mime = request.headers["content-type"].partition(";")[0].strip().lower()
        if mime in _OTHER_KNOWN_CONTENT_TYPES:
            raise bad_request(f'expected content type "{_JSON}", got "{mime}"')
        if mime != _JSON:
            raise bad_request(f"unsupported content-type: {mime}")
    body = await request.get_data()
    try:
        return cast("T", _decoder(cast("Any", type_)).decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise bad_request(f"unable to parse JSON body: {_json_path_first(str(exc))}") from None


def page_params() -> PageParams:
    """The page that the request's query string asks for. Raises HttpError 400."""
    return parse_page_params(dict(request.args.lists()))


def path_uuid(text: str, name: str) -> UUID:
    """The path parameter `name`. Raises HttpError 400 unless `text` is a UUID in a form that upstream takes."""
    try:
        return parse_uuid(text)
    except ValueError as exc:
        raise bad_request(f"bad parameter in URL path: {name}: {exc}") from None


async def error_response(error: HttpError) -> TrioResponse:
    """The answer that refuses the request being handled."""
    record = current_request()
    record.error = error
    return TrioResponse(error.body(record.id), error.status, content_type=_JSON)


async def _routing_error_response(error: HTTPException) -> TrioResponse:
    response = await error_response(HttpError(error.code or 500, error.name))
    if isinstance(error, MethodNotAllowed):
        response.headers["allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


async def _bug_response(error: Exception) -> TrioResponse:
    current_request().log.error("request handler failed", exc_info=error)
    return await error_response(internal_error(f"{type(error).__name__}: {error}"))


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def _json_path_first(message: str) -> str:
    """msgspec's "Expected `array`, got `str` - at `$.names`" as "names: Expected `array`, got `str`"."""
    if message == _MSGSPEC_TRUNCATED:
        return "not valid JSON text: it is cut off, or an escape in it is half of a surrogate pair"
    reason, at, path = message.rpartition(" - at `$")
    return f"{path.rstrip('`').lstrip('.')}: {reason}" if at and path != "`" else (reason or message)
