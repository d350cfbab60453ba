"""`xtask omicron-dev run-all`: progress and the summary around `open_stack`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from simstack.stack import NexusOptions, SimstackError, open_stack
from xtask.banner import PREFIX, summary
from xtask.display import starting_up
from xtask.launch import launch, say

if TYPE_CHECKING:
    from pathlib import Path

    from simstack.facts import StackFacts


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
    return launch("omicron-dev", main)


async def _main(
    options: NexusOptions, *, gateway_config: Path | None, name: str | None, keep: bool, json: bool
) -> None:
    if not json:
        _print(f"{PREFIX}setting up all services ... \n")
    with ExitStack() as until_up:
        progress = until_up.enter_context(starting_up())
        async with open_stack(
            options, gateway_config=gateway_config, name=name, keep_logs=keep, progress=progress
        ) as stack:
            until_up.close()
            _show(stack.facts, json=json)
            await stack.until_down()
            say("omicron-dev", "asked to go down, shutting down and removing temporary directory")


def _show(facts: StackFacts, *, json: bool) -> None:
    if json:
        _print(msgspec.json.encode(facts).decode() + "\n")
    else:
        _print(summary(facts))


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise SimstackError(f"cannot write to standard output: {exc.strerror}") from exc
