"""Runs what the launcher commands run: under trio, until it fails or a signal says stop."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from dropshot.exception_groups import leaves
from simstack.errors import SimstackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def launch(program: str, main: Callable[[], Awaitable[None]]) -> int:
    """Run `main` and return the exit code: 0 after a stop signal, 1 after a SimstackError, which is printed.

    A first signal cancels `main`, which cleans up. A second one ends the process at once: the watchdog cleans up.
    Raises BrokenPipeError when nobody reads standard output any more.
    """
    exit_code = trio.run(partial(_run, program, main), strict_exception_groups=True)
    if exit_code is None:
        raise BrokenPipeError
    return exit_code


def say(program: str, line: str) -> None:
    """One line for the user, on stderr."""
    with suppress(OSError):  # the terminal may have gone: that is what SIGHUP says
        print(f"{program}: {line}", file=sys.stderr, flush=True)


async def _run(program: str, main: Callable[[], Awaitable[None]]) -> int | None:
    """None if nobody reads our standard output any more."""
    exit_code: int | None = 0
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as listener:
            running = trio.CancelScope()
            listener.start_soon(_stop_on_signal, program, signals, running)
            try:
                with running:
                    await main()
            except* SimstackError as group:
                for error in leaves(group):
                    say(program, str(error))
                exit_code = 1
            except* BrokenPipeError:
                exit_code = None
            listener.cancel_scope.cancel()
    return exit_code


async def _stop_on_signal(program: str, signals: AsyncIterator[int], running: trio.CancelScope) -> None:
    await anext(signals)
    say(program, "caught signal, shutting down and removing temporary directory")
    running.cancel()
    await anext(signals)
    say(program, "caught another signal, leaving the rest to the watchdog")
    os._exit(1)
