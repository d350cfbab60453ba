"""Programs that answer with one line of JSON."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence


TIMEOUT_S = 600.0
"""Bounds a hang."""


async def answer_of(argv: Sequence[str]) -> bytes:
    """Of a program that ends. Raises subprocess.CalledProcessError; what it says on stderr is shown."""
    with trio.fail_after(TIMEOUT_S):
        return (await trio.run_process(argv, capture_stdout=True)).stdout


async def answer_and_kill(argv: Sequence[str]) -> bytes:
    """Of one that goes on until it is killed: by SIGKILL, as soon as it has answered."""
    process = await trio.lowlevel.open_process(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None, "a pipe was asked for"
    answer = b""
    try:
        with trio.fail_after(TIMEOUT_S):
            while not answer.endswith(b"\n"):
                received = await process.stdout.receive_some()
                if not received:
                    raise SystemExit(f"{' '.join(argv)} ended before it had answered")
                answer += received
        return answer
    finally:
        process.kill()
        with trio.CancelScope(shield=True):  # SIGKILL takes no time
            await process.wait()
