"""A connection to the internal API of one Nexus, for commands."""

from __future__ import annotations

from nexus.clients.nexus import ErrorAnswer, UnexpectedAnswer, check_success
from omdb.errors import OmdbError
from omdb.http_connection import HttpConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from nexus.clients.nexus import Request
    from omdb.log import Log
    from omdb.urls import BaseUrl

    T = TypeVar("T")


class NexusRefused(OmdbError):
    """The server answered with an error. `status` is its HTTP status."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class NexusConnection:
    """Connected on the first call. `picked_from_dns`: nobody named this very Nexus."""

    def __init__(self, url: BaseUrl, *, picked_from_dns: bool, log: Log) -> None:
        self.picked_from_dns = picked_from_dns
        self._url = url
        self._http = HttpConnection(url, log=log)

    def call(self, request: Request) -> bytes:
        """The body of the answer. Raises OmdbError, NexusRefused where the server answered with an error."""
        response = self._http.exchange(request.method, request.path, request.body)
        try:
            check_success(response.status, response.body)
        except ErrorAnswer as error:
            raise NexusRefused(self._refusal(request, error), status=error.status) from None
        return response.body

    def fetch(self, request: Request, decode: Callable[[bytes], T]) -> T:
        """As `call`, and decoded by the decoder that stands beside the request in `nexus.clients.nexus`."""
        body = self.call(request)
        try:
            return decode(body)
        except UnexpectedAnswer as error:
            raise OmdbError(f"unexpected answer from {self._url} to {request}: {error}") from None

    def close(self) -> None:
        self._http.close()

    def _refusal(self, request: Request, answer: ErrorAnswer) -> str:
        question = "is it the internal API of a Nexus?"
        if answer.request_id is None:
            return f"{self._url} answered {request} with status {answer.status}: {answer.message} ({question})"
        details = [f"request id {answer.request_id}"]
        if answer.error_code is not None:
            details.insert(0, f"error code {answer.error_code}")
        elif answer.status == 404:
            details.append(question)
        return f"{self._url} answered with status {answer.status}: {answer.message} ({', '.join(details)})"
