"""`xtask omicron-dev run-all`: signals, progress and the summary around `open_stack`."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from simstack.stack import NexusOptions, SimstackError, open_stack
from xtask.banner import PREFIX, summary
from xtask.display import starting_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from simstack.facts import StackFacts

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    *,
    nexus_listen_port: int | None,
    nexus_config: Path | None,
    gateway_config: Path | None,
    nexuses: int,
    name: str | None,
    keep: bool,
    json: bool,
) -> int:
    """Run a stack until a signal or until it cannot go on; returns the exit code."""
    options = NexusOptions(config=nexus_config, listen_port=nexus_listen_port, count=nexuses)
    main = partial(_main, options, gateway_config=gateway_config, name=name, keep=keep, json=json)
    return trio.run(main, strict_exception_groups=True)


async def _main(options: NexusOptions, *, gateway_config: Path | None, name: str | None, keep: bool, json: bool) -> int:
    if not json:
        print(f"{PREFIX}setting up all services ... ", flush=True)
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as listener:
            running = trio.CancelScope()
            listener.start_soon(_stop_on_signal, signals, running)
            exit_code = 0
            try:
                with running, ExitStack() as until_up:
                    display = until_up.enter_context(starting_up())
                    async with open_stack(
                        options, gateway_config=gateway_config, name=name, keep_logs=keep, progress=display
                    ) as stack:
                        until_up.close()
                        _show(stack.facts, json=json)
                        await trio.sleep_forever()
            except* SimstackError as group:
                for error in _leaves(group):
                    _say(str(error))
                exit_code = 1
            listener.cancel_scope.cancel()
    return exit_code


async def _stop_on_signal(signals: AsyncIterator[int], running: trio.CancelScope) -> None:
    await anext(signals)
    _say("caught signal, shutting down and removing temporary directory")
    running.cancel()
    await anext(signals)
    _say("caught another signal, leaving the rest to the watchdog")
    os._exit(1)


def _show(facts: StackFacts, *, json: bool) -> None:
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(facts) + b"\n")
    else:
        sys.stdout.write(summary(facts))
    sys.stdout.flush()


def _leaves(group: BaseExceptionGroup[SimstackError]) -> Iterator[SimstackError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal may have gone: that is what SIGHUP says
        print(f"{PREFIX}{line}", file=sys.stderr, flush=True)
