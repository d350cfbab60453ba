"""The control socket: what a client gets, and what clients that misbehave cannot do."""

from __future__ import annotations

import json
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from simstack.control import (
    MAX_NOTES,
    MAX_REQUEST_BYTES,
    SOCKET_NAME,
    Call,
    ControlError,
    Handler,
    Request,
    ask,
    serve_control,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TIMEOUT_S = 30.0


@asynccontextmanager
async def serving(directory: Path, **handlers: Handler) -> AsyncIterator[None]:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_control, directory / SOCKET_NAME, handlers))
            yield
            nursery.cancel_scope.cancel()


async def asked(directory: Path, request: Request, **more: Any) -> Any:
    return await trio.to_thread.run_sync(partial(ask, directory, request, **more))


async def said(directory: Path, line: bytes) -> dict[str, Any]:
    """The last line that comes for `line`."""
    async with await trio.open_unix_socket(directory / SOCKET_NAME) as stream:
        await stream.send_all(line)
        received = b"".join([chunk async for chunk in stream])
    answer: dict[str, Any] = json.loads(received.splitlines()[-1])
    return answer


async def echo(call: Call) -> object:
    return {"nexus": call.nexus}


async def test_an_answer_comes_after_its_notes(tmp_path: Path) -> None:
    async def slow(call: Call) -> str:
        call.tell("first")
        call.tell("second")
        return "done"

    notes: list[str] = []
    async with serving(tmp_path, slow=slow, echo=echo):
        assert await asked(tmp_path, Request("slow"), tell=notes.append) == "done"
        assert notes == ["first", "second"]
        assert await asked(tmp_path, Request("echo", "a4ef")) == {"nexus": "a4ef"}
        assert await asked(tmp_path, Request("echo")) == {"nexus": None}
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_a_refusal_is_for_the_user(tmp_path: Path) -> None:
    async def refuse(_call: Call) -> None:
        raise ControlError("not today")

    async def fail(_call: Call) -> None:
        raise OSError(28, "No space left on device")

    async with serving(tmp_path, refuse=refuse, fail=fail):
        with pytest.raises(ControlError, match=r"^not today$"):
            await asked(tmp_path, Request("refuse"))
        with pytest.raises(ControlError, match=r"^fail: .*No space left on device$"):
            await asked(tmp_path, Request("fail"))
        with pytest.raises(ControlError, match=r"^unknown verb 'other': this stack knows fail, refuse$"):
            await asked(tmp_path, Request("other"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{}\n", "not a request"),
        (b"[\n", "not a request"),
        (b'{"verb": 1}\n', "not a request"),
        (b'{"verb": "echo", "nexus": "1", "more": 2}\n', "not a request"),
        (b'{"verb": "echo", "nexus": "' + b"x" * MAX_REQUEST_BYTES + b'"}\n', "expected one line of JSON, of at most"),
        (b"x" * (MAX_REQUEST_BYTES + 1), "expected one line of JSON, of at most"),
    ],
)
async def test_what_is_no_request_is_refused(tmp_path: Path, line: bytes, complaint: str) -> None:
    async with serving(tmp_path, echo=echo):
        assert (await said(tmp_path, line))["error"].startswith(complaint)


async def test_a_client_that_leaves_does_not_undo_what_it_asked_for(tmp_path: Path) -> None:
    begun, client_is_gone, done = trio.Event(), trio.Event(), trio.Event()

    async def change(call: Call) -> None:
        begun.set()
        await client_is_gone.wait()
        for _ in range(2 * MAX_NOTES):
            call.tell("nobody reads this")
            await trio.lowlevel.checkpoint()
        done.set()

    async with serving(tmp_path, change=change, echo=echo):
        async with await trio.open_unix_socket(tmp_path / SOCKET_NAME) as stream:
            await stream.send_all(b'{"verb": "change"}\n')
            await begun.wait()
        client_is_gone.set()
        await done.wait()
        assert await asked(tmp_path, Request("echo")) == {"nexus": None}


async def test_a_client_that_does_not_read_holds_up_nothing(tmp_path: Path) -> None:
    done = trio.Event()

    async def talk(call: Call) -> str:
        for _ in range(4 * MAX_NOTES):
            call.tell("x" * 100_000)
            await trio.lowlevel.checkpoint()
        done.set()
        return "said"

    async with serving(tmp_path, talk=talk, echo=echo), await trio.open_unix_socket(tmp_path / SOCKET_NAME) as stream:
        await stream.send_all(b'{"verb": "talk"}\n')
        await done.wait()
        assert await asked(tmp_path, Request("echo")) == {"nexus": None}


async def test_what_was_answered_is_delivered_at_the_end_too(tmp_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:

            async def end(_call: Call) -> str:
                nursery.cancel_scope.cancel()
                return "ended"

            await nursery.start(partial(serve_control, tmp_path / SOCKET_NAME, {"end": end}))
            with trio.CancelScope(shield=True):
                assert await asked(tmp_path, Request("end")) == "ended"


async def test_a_stack_that_is_silent_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET_NAME))
        listening.listen(1)
        with pytest.raises(ControlError, match=r"does not answer: timed out$"):
            await asked(tmp_path, Request("status"), timeout_s=0.05)
    with pytest.raises(ControlError, match=r"does not answer: .*Connection refused$"):
        await asked(tmp_path, Request("status"))
