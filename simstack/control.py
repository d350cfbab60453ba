"""The control socket of a running stack: how `omicron-dev status`, `logs`, `db stop`, `nexus kill` and so on reach it.

One unix socket in the stack's own directory, readable by its owner alone. A client sends one line of JSON and reads
lines until one of the last two kinds:

    {"verb": "status"}                    ->  {"ok": StackStatus}
    {"verb": "nexus-start", "nexus": "2"} ->  {"note": "nexus2 is waiting for the database"}, and so on
                                          ->  {"ok": NexusOutcome}
    anything refused                      ->  {"error": "a sentence for the user"}

A change that was begun is carried out, whether or not its client still waits. The server runs inside the launcher's
trio loop; the client is synchronous, since a command asks once and ends.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from simstack.facts import StackStatus

if TYPE_CHECKING:
    from pathlib import Path

    import trio

SOCKET_NAME = "control.sock"
MAX_REQUEST_BYTES = 4096
MAX_ANSWER_BYTES = 1 << 20
"""Of one line; a status of a hundred Nexuses is a tenth of it."""

MAX_NOTES = 64
"""Notes for a client that does not read them; later ones are dropped."""

REQUEST_TIMEOUT_S = 5.0
"""A client that connects and says nothing is dropped after this."""

ANSWER_TIMEOUT_S = 1.0
"""So long a client may take to read the answer to what has been done, even while the stack is on its way down."""

STATUS_TIMEOUT_S = 2.0
"""How long a client waits for a status: a launcher that runs answers in a millisecond."""

CHANGE_TIMEOUT_S = 180.0
"""How long a client waits for a change. A Nexus has a minute to get ready, and a few seconds to stop before that, and
another change may come first."""


class ControlError(Exception):
    """The stack refused, or there is none; the message is for the user."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`nexus` is which one, as the user said it."""

    verb: str
    nexus: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is called with: the request, and a way to tell the client how it is coming along."""

    nexus: str | None
    tell: Callable[[str], None]


Handler = Callable[[Call], Awaitable[object]]


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
                with suppress(trio.TooSlowError, trio.BrokenResourceError):
                    await _answer(stream, handlers)

        try:
            task_status.started()
            await trio.serve_listeners(answer, [trio.SocketListener(listening)])
        finally:
            os.unlink(path)


async def _answer(stream: trio.SocketStream, handlers: dict[str, Handler]) -> None:
    """Raises TooSlowError when nothing is asked for."""
    import trio

    lines, unsent_lines = trio.open_memory_channel[dict[str, object]](MAX_NOTES)

    def tell(note: str) -> None:
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            lines.send_nowait({"note": note})

    with trio.fail_after(REQUEST_TIMEOUT_S):
        received = await _read_line(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_lines, stream, unsent_lines)
        response = await _respond(received, handlers, tell)
        nursery.cancel_scope.shield = True
        nursery.cancel_scope.deadline = trio.current_time() + ANSWER_TIMEOUT_S
        with suppress(trio.BrokenResourceError):  # the client has gone; what it asked for is done all the same
            await lines.send(response)
        lines.close()


async def _send_lines(stream: trio.SocketStream, unsent_lines: trio.MemoryReceiveChannel[dict[str, object]]) -> None:
    import trio

    with suppress(trio.BrokenResourceError):
        async with unsent_lines:
            async for line in unsent_lines:
                await stream.send_all(msgspec.json.encode(line) + b"\n")


async def _read_line(stream: trio.SocketStream) -> bytes:
    """What was sent up to the end of the line, or of the connection, or of what a request may have."""
    received = bytearray()
    while not received.endswith(b"\n") and len(received) <= MAX_REQUEST_BYTES:
        chunk = await stream.receive_some(MAX_REQUEST_BYTES)
        if not chunk:
            break
        received += chunk
    return bytes(received)


async def _respond(received: bytes, handlers: dict[str, Handler], tell: Callable[[str], None]) -> dict[str, object]:
    try:
        return {"ok": await _carry_out(received, handlers, tell)}
    except ControlError as exc:
        return {"error": str(exc)}


async def _carry_out(received: bytes, handlers: dict[str, Handler], tell: Callable[[str], None]) -> object:
    if not received.endswith(b"\n") or len(received) > MAX_REQUEST_BYTES:
        raise ControlError(f"expected one line of JSON, of at most {MAX_REQUEST_BYTES} bytes")
    try:
        request = msgspec.json.decode(received, type=Request)
    except msgspec.DecodeError as exc:
        raise ControlError(f"not a request: {exc}") from exc
    if request.verb not in handlers:
        raise ControlError(f"unknown verb {request.verb!r}: this stack knows {', '.join(sorted(handlers))}")
    try:
        return await handlers[request.verb](Call(request.nexus, tell))
    except OSError as exc:  # the request failed, and with it nothing else
        raise ControlError(f"{request.verb}: {exc}") from exc


def ask(
    directory: Path, request: Request, *, tell: Callable[[str], None] | None = None, timeout_s: float = CHANGE_TIMEOUT_S
) -> Any:
    """Send `request` to the stack in `directory` and return its answer, decoded from JSON; `tell` gets the notes.

    Raises ControlError with the stack's refusal, or when nothing answers there.
    """
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(directory / SOCKET_NAME))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                while (line := lines.readline(MAX_ANSWER_BYTES)).endswith(b"\n"):
                    answer = msgspec.json.decode(line)
                    if "error" in answer:
                        raise ControlError(answer["error"])
                    if "ok" in answer:
                        return answer["ok"]
                    if tell is not None:
                        tell(answer["note"])
                    connection.settimeout(max(0.001, deadline - time.monotonic()))
        except OSError as exc:
            raise ControlError(f"the stack in {directory} does not answer: {exc}") from exc
    raise ControlError(f"the stack in {directory} closed the connection without an answer")


def ask_status(directory: Path) -> StackStatus:
    """What runs in the stack in `directory` at this moment."""
    return msgspec.convert(ask(directory, Request("status"), timeout_s=STATUS_TIMEOUT_S), StackStatus)


def stack_directories(root: Path) -> list[Path]:
    """The directory of every stack below `root` that is up, or was when its launcher was stopped, by name."""
    return sorted(path.parent for path in root.glob(f"*/{SOCKET_NAME}"))
