"""The control socket of a running stack: how `omicron-dev status`, `env`, `logs` and `db stop` reach it.

One unix socket in the stack's own directory, readable by its owner alone. A client sends one line of JSON and reads
one:

    {"verb": "status"}                    ->  {"ok": StackStatus}
    {"verb": "db-stop"}                   ->  {"ok": null}
    anything refused                      ->  {"error": "a sentence for the user"}

The server runs inside the launcher's trio loop; the client is synchronous, since a command asks once and ends.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from simstack.facts import StackStatus

if TYPE_CHECKING:
    from pathlib import Path

    import trio

SOCKET_NAME = "control.sock"
MAX_LINE_BYTES = 1 << 20
"""Bounds a request and an answer; a status of a hundred Nexuses is a tenth of it."""

REQUEST_TIMEOUT_S = 5.0
"""A client that connects and says nothing is dropped after this."""

STATUS_TIMEOUT_S = 2.0
"""How long a client waits for a status: a launcher that runs answers in a millisecond."""

CHANGE_TIMEOUT_S = 60.0
"""How long a client waits for a change: stopping Postgres may take all of its deadlines."""


class ControlError(Exception):
    """The stack refused, or there is none; the message is for the user."""


class Request(msgspec.Struct, frozen=True):
    verb: str


Handler = Callable[[], Awaitable[object]]


async def serve_control(
    path: Path,
    handlers: dict[str, Handler],
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Answer requests at `path` until cancelled; removes the socket at the end.

    `handlers` maps a verb to what carries it out; a handler refuses by raising ControlError.
    """
    import trio

    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        await listening.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listening.listen(16)

        async def answer(stream: trio.SocketStream) -> None:
            async with stream:
                try:
                    with trio.fail_after(REQUEST_TIMEOUT_S):
                        line = await _read_line(stream)
                    response: dict[str, object] = {"ok": await _carry_out(line, handlers)}
                except ControlError as exc:
                    response = {"error": str(exc)}
                except (trio.TooSlowError, trio.BrokenResourceError):
                    return
                with trio.move_on_after(REQUEST_TIMEOUT_S):
                    try:
                        await stream.send_all(msgspec.json.encode(response) + b"\n")
                    except trio.BrokenResourceError:
                        return  # the client has gone; what it asked for is done all the same

        try:
            task_status.started()
            await trio.serve_listeners(answer, [trio.SocketListener(listening)])
        finally:
            os.unlink(path)


async def _read_line(stream: trio.SocketStream) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = await stream.receive_some(4096)
        if not chunk or len(received) > MAX_LINE_BYTES:
            raise ControlError("expected one line of JSON")
        received += chunk
    return bytes(received)


async def _carry_out(line: bytes, handlers: dict[str, Handler]) -> object:
    try:
        request = msgspec.json.decode(line, type=Request)
    except msgspec.DecodeError as exc:
        raise ControlError(f"not a request: {exc}") from exc
    if request.verb not in handlers:
        raise ControlError(f"unknown verb {request.verb!r}: this stack knows {', '.join(sorted(handlers))}")
    try:
        return await handlers[request.verb]()
    except OSError as exc:  # the request failed, and with it nothing else
        raise ControlError(f"{request.verb}: {exc}") from exc


def ask(directory: Path, verb: str, *, timeout_s: float = CHANGE_TIMEOUT_S) -> Any:
    """Send `verb` to the stack in `directory` and return its answer, decoded from JSON.

    Raises ControlError with the stack's refusal, or when nothing answers there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(os.fspath(directory / SOCKET_NAME))
            connection.sendall(msgspec.json.encode(Request(verb)) + b"\n")
            with connection.makefile("rb") as answer:
                line = answer.readline(MAX_LINE_BYTES)
        except OSError as exc:
            raise ControlError(f"the stack in {directory} does not answer: {exc}") from exc
    if not line.endswith(b"\n"):
        raise ControlError(f"the stack in {directory} closed the connection without an answer")
    response = msgspec.json.decode(line)
    if "error" in response:
        raise ControlError(response["error"])
    return response["ok"]


def ask_status(directory: Path) -> StackStatus:
    """What runs in the stack in `directory` at this moment."""
    return msgspec.convert(ask(directory, "status", timeout_s=STATUS_TIMEOUT_S), StackStatus)


def stack_directories(root: Path) -> list[Path]:
    """The directory of every stack below `root` that is up, or was when its launcher was stopped, by name."""
    return sorted(path.parent for path in root.glob(f"*/{SOCKET_NAME}"))
