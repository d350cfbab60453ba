"""`xtask omicron-dev nexus`: change the Nexuses of a running stack from another terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import cyclopts
import msgspec
from cyclopts import Parameter

from simstack.facts import NexusOutcome
from xtask.banner import nexus_summary
from xtask.running_stack import Name, find, order, say

app = cyclopts.App(
    name="nexus",
    version_flags=(),
    help="Kill, pause, start or add the Nexuses of a running stack.",
)

Which = Annotated[
    str | None,
    Parameter(help="Its number from 1, its name, its id or the first characters of that. Default: the only one."),
]


@app.command
def kill(which: Which = None, /, *, name: Name = None) -> int:
    """Kill one as kill -9 does, and return when it is dead."""
    return _change("nexus-kill", which, name)


@app.command
def stop(which: Which = None, /, *, name: Name = None) -> int:
    """End one in an orderly way: SIGTERM, and SIGKILL if it has not ended 5 s later."""
    return _change("nexus-stop", which, name)


@app.command
def pause(which: Which = None, /, *, name: Name = None) -> int:
    """Stop one in its tracks (SIGSTOP), as a frozen machine would; it keeps its connections and its memory."""
    return _change("nexus-pause", which, name)


@app.command
def resume(which: Which = None, /, *, name: Name = None) -> int:
    """Let one that is paused go on (SIGCONT)."""
    return _change("nexus-resume", which, name)


@app.command
def start(which: Which = None, /, *, name: Name = None) -> int:
    """Start one that has ended, with its id, addresses and configuration, and wait until it is ready."""
    return _change("nexus-start", which, name)


@app.command
def restart(which: Which = None, /, *, name: Name = None) -> int:
    """Stop one and start it again, with no other command in between."""
    return _change("nexus-restart", which, name)


@app.command
def add(*, next_generation: bool = False, name: Name = None) -> int:
    """Start one more, with an id of its own and on free ports; it puts itself in service.

    Parameters
    ----------
    next_generation
        Have it be of the next generation: it is put into the target blueprint, and is on standby until that
        generation takes over.
    """
    verb = "nexus-add-next-generation" if next_generation else "nexus-add"
    outcome = msgspec.convert(order(find(name), verb), NexusOutcome)
    sys.stdout.write(nexus_summary(outcome.facts))
    sys.stdout.flush()
    say(_line(outcome))
    return 0


def _change(verb: str, which: str | None, name: str | None) -> int:
    say(_line(msgspec.convert(order(find(name), verb, nexus=which), NexusOutcome)))
    return 0


def _line(outcome: NexusOutcome) -> str:
    return f"{outcome.name} {outcome.facts.id} (pid {outcome.facts.pid}) {outcome.outcome}"
