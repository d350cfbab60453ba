"""The internal API of Nexus as its clients see it: requests to send, and what the answers mean. No I/O.

Shared by omdb, which is synchronous, and by clients on trio. Either sends a `Request`, hands status and body of the
answer to `check_success`, and the body to the decoder that stands beside the request:

    status, body = exchange(list_sagas())
    check_success(status, body)
    page = decode_sagas(body)

Decoders raise `UnexpectedAnswer`. Listings are decoded item by item: one that cannot be read is reported in its place
and hides no other.

`omdb nexus sagas list` is run again and again by hand, so this module and what it needs load fast: `json` here, and
msgspec (which alone takes longer than everything else that omdb does) only where structs of `nexus.api.types` come out.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar
    from uuid import UUID

    from nexus.api.experimental_types import CreatedSagas, Injection, ReleasedNodes, SagaDetails, SagaTypeView
    from nexus.api.types import BackgroundTask, DemoSaga
    from nexus.ids import DemoSagaId

    T = TypeVar("T")

_EXCERPT_CHARS = 200


class Request:
    """What to send. `body` is JSON; without one there is no content type either."""

    __slots__ = ("body", "method", "path")

    def __init__(self, method: str, path: str, body: bytes = b"") -> None:
        self.method = method
        self.path = path
        self.body = body

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class NexusClientError(Exception):
    """Base of what goes wrong after an answer has arrived."""


class ErrorAnswer(NexusClientError):
    """The server answered, and not with success.

    `message`, `error_code` and `request_id` are those of upstream's error body. Where the body is something else, the
    message is an excerpt of it and `request_id` is None: perhaps no Nexus answered.
    """

    def __init__(self, status: int, message: str, *, error_code: str | None, request_id: str | None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.error_code = error_code
        self.request_id = request_id


class UnexpectedAnswer(NexusClientError):
    """A success whose body is not what this request is answered with. `str()` says what came instead."""


class Unreadable:
    """An item of a listing that could not be decoded: the reason, and its JSON as it came."""

    __slots__ = ("reason", "text")

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        self.text = text


class SagaSummary:
    """A saga in a listing. The state is the server's own word, be it one that this client does not know."""

    __slots__ = ("id", "state")

    def __init__(self, id: str, state: str) -> None:
        self.id = id
        self.state = state


class SagaPage:
    """One page of sagas in id order. `next_page` is None only after the last, which is empty."""

    __slots__ = ("items", "next_page")

    def __init__(self, items: list[SagaSummary | Unreadable], next_page: str | None) -> None:
        self.items = items
        self.next_page = next_page


def check_success(status: int, body: bytes) -> None:
    """Raises ErrorAnswer unless `status` is a success."""
    if 200 <= status < 300:
        return
    try:
        error = json.loads(body)
        message, request_id, error_code = error["message"], error["request_id"], error.get("error_code")
        known = isinstance(message, str) and isinstance(request_id, str) and isinstance(error_code, str | None)
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise ErrorAnswer(status, _excerpt(body), error_code=None, request_id=None)
    raise ErrorAnswer(status, message, error_code=error_code, request_id=request_id)


def ping() -> Request:
    """Answered by every Nexus that runs, whatever it waits for."""
    return Request("GET", "/v1/ping")


# --- sagas -----------------------------------------------------------------------------------------------------------


def list_sagas(*, limit: int | None = None, page_token: str | None = None) -> Request:
    """The sagas that this Nexus holds in memory, one page."""
    parameters = []
    if limit is not None:
        parameters.append(f"limit={limit}")
    if page_token is not None:
        parameters.append(f"page_token={_quote(page_token)}")
    return Request("GET", "/sagas" + ("?" if parameters else "") + "&".join(parameters))


def decode_sagas(body: bytes) -> SagaPage:
    page = _json_object(body)
    items, next_page = page.get("items"), page.get("next_page")
    if not isinstance(items, list) or not isinstance(next_page, str | None):
        raise UnexpectedAnswer(f"expected a page of sagas, got {_excerpt(body)}")
    return SagaPage([_saga_summary(item) for item in items], next_page)


def _saga_summary(item: object) -> SagaSummary | Unreadable:
    match item:
        case {"id": str(id), "state": {"state": str(state)}}:
            return SagaSummary(id, state)
        case _:
            return Unreadable("a saga has an id and a state", json.dumps(item))


def list_waiting_sagas() -> Request:
    """The running ones of this Nexus that do not go on there."""
    return Request("GET", "/experimental/waiting-sagas")


def decode_waiting_sagas(body: bytes) -> list[str]:
    """Their ids."""
    match _json(body):
        case list(items) if all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in items):
            return [item["id"] for item in items]
        case _:
            raise UnexpectedAnswer(f"expected a list of sagas that wait, got {_excerpt(body)}")


def create_demo_saga() -> Request:
    return Request("POST", "/demo-saga")


def decode_demo_saga(body: bytes) -> DemoSaga:
    from nexus.api.types import DemoSaga

    return decode_json(body, DemoSaga)


def complete_demo_saga(demo_saga_id: DemoSagaId | UUID) -> Request:
    """Answered with 204 once the completion is durable; the saga itself finishes later."""
    return Request("POST", f"/demo-saga/{demo_saga_id}/complete")


def list_saga_types() -> Request:
    return Request("GET", "/experimental/saga-types")


def decode_saga_types(body: bytes) -> list[SagaTypeView]:
    from nexus.api.experimental_types import SagaTypeView

    return decode_json(body, list[SagaTypeView])


def create_sagas(name: str, *, params: bytes | None, count: int) -> Request:
    """`params` is JSON; None for the default ones. Answered once all are durable and run."""
    given = b"" if params is None else b',"params":' + params
    return Request(
        "POST", "/experimental/sagas", b'{"name":%b,"count":%d%b}' % (json.dumps(name).encode(), count, given)
    )


def decode_created_sagas(body: bytes) -> CreatedSagas:
    from nexus.api.experimental_types import CreatedSagas

    return decode_json(body, CreatedSagas)


def view_saga_details(saga_id: UUID) -> Request:
    return Request("GET", f"/experimental/sagas/{saga_id}")


def decode_saga_details(body: bytes) -> SagaDetails:
    from nexus.api.experimental_types import SagaDetails

    return decode_json(body, SagaDetails)


def inject_into_saga(saga_id: UUID, injection: Injection) -> Request:
    import msgspec

    return Request("POST", f"/experimental/sagas/{saga_id}/inject", msgspec.json.encode(injection))


def release_saga(saga_id: UUID, *, node_name: str | None) -> Request:
    """One node, held or yet to be; or all that are held."""
    return Request("POST", f"/experimental/sagas/{saga_id}/release", json.dumps({"node_name": node_name}).encode())


def decode_released_nodes(body: bytes) -> ReleasedNodes:
    from nexus.api.experimental_types import ReleasedNodes

    return decode_json(body, ReleasedNodes)


# --- background tasks ------------------------------------------------------------------------------------------------


def list_background_tasks() -> Request:
    return Request("GET", "/bgtasks")


def decode_background_tasks(body: bytes) -> dict[str, BackgroundTask | Unreadable]:
    """The tasks by name, in name order."""
    import msgspec

    from nexus.api.types import BackgroundTask

    tasks: dict[str, BackgroundTask | Unreadable] = {}
    for name, raw in sorted(decode_json(body, dict[str, msgspec.Raw]).items()):
        try:
            tasks[name] = msgspec.json.decode(raw, type=BackgroundTask)
        except (msgspec.ValidationError, RecursionError) as error:
            tasks[name] = Unreadable(str(error), bytes(raw).decode(errors="replace"))
    return tasks


def activate_background_tasks(names: Iterable[str]) -> Request:
    """All of them or, if one is unknown, none."""
    return Request("POST", "/bgtasks/activate", json.dumps({"bgtask_names": sorted(set(names))}).encode())


# --- bodies ----------------------------------------------------------------------------------------------------------


def decode_json(body: bytes, type_: type[T]) -> T:
    """Raises UnexpectedAnswer."""
    import msgspec

    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnexpectedAnswer(f"{error}: {_excerpt(body)}") from None


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(f"{error}: {_excerpt(body)}") from None


def _json_object(body: bytes) -> dict[str, object]:
    value = _json(body)
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"expected a JSON object, got {_excerpt(body)}")
    return value


def _excerpt(body: bytes) -> str:
    """The beginning of a body on one line."""
    text = " ".join(body[: 4 * _EXCERPT_CHARS].decode(errors="replace").split())
    if not text:
        return "an empty body"
    return text if len(text) <= _EXCERPT_CHARS else text[:_EXCERPT_CHARS] + "…"


def _quote(text: str) -> str:
    """Percent-encoding, as `urllib.parse.quote` does it with no safe character; that module takes 5 ms to import."""
    return "".join(chr(b) if (chr(b).isalnum() and b < 0x80) or b in b"-._~" else f"%{b:02X}" for b in text.encode())
