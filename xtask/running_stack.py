"""Finds the running stack that a command is about, and asks it for changes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from xtask.banner import PREFIX
from xtask.refusal import Refused

if TYPE_CHECKING:
    from simstack.facts import StackStatus

Name = Annotated[str | None, Parameter(help="Which stack, where several run. Default: the only one.")]


def find(name: str | None) -> StackStatus:
    """The running stack called `name`, or the only one. Raises Refused."""
    from simstack.control import ControlError, ask_status, stack_directories
    from simstack.directory import stacks_root

    directories = {path.name: path for path in stack_directories(stacks_root())}
    names = ", ".join(directories)
    if not directories:
        raise Refused("no stack is running; start one with `python3 -m xtask omicron-dev run-all`")
    if name is None and len(directories) > 1:
        raise Refused(f"{len(directories)} stacks are running ({names}); say which with --name")
    if name is not None and name not in directories:
        raise Refused(f"no stack named {name!r} is running here as user {os.getuid()}; running: {names}")
    try:
        return ask_status(directories[name or next(iter(directories))])
    except ControlError as exc:
        raise Refused(str(exc)) from exc


def order(stack: StackStatus, verb: str, *, nexus: str | None = None) -> Any:
    """Have a change made, whose progress a terminal shows; returns the answer. Raises Refused."""
    from simstack.control import ControlError, Request, ask

    try:
        return ask(Path(stack.facts.directory), Request(verb, nexus), tell=say if sys.stderr.isatty() else None)
    except ControlError as exc:
        raise Refused(str(exc)) from exc


def say(line: str) -> None:
    print(f"{PREFIX}{line}", file=sys.stderr, flush=True)
