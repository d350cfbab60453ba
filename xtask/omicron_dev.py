"""`xtask omicron-dev`: run the simulated stack, and look at a running one from another terminal.

Only arguments and printing live here; the stack itself is `simstack.stack.open_stack`, and a change of a running one is
made by its launcher, which `simstack.control` asks.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path  # noqa: TC003  (cyclopts looks at it)
from typing import Annotated

import cyclopts
import msgspec
from cyclopts import Parameter, validators

from dropshot.release import RELEASE
from xtask.refusal import Refused
from xtask.running_stack import Name, find, order, say

app = cyclopts.App(name="omicron-dev", version=RELEASE, help="Run a simulated control-plane stack.")
db = cyclopts.App(
    name="db", version_flags=(), help="Stop and start the database of a running stack, under its Nexuses."
)
app.command(db)
app.command("xtask.omicron_nexus:app", name="nexus", help="Kill, pause, start or add the Nexuses of a running stack.")

Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))]


@app.command
def run_all(
    *,
    nexus_listen_port: Port | None = None,
    nexus_config: Path | None = None,
    gateway_config: Path | None = None,
    nexuses: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=16))] = 1,
    name: str | None = None,
    keep: bool = False,
    json: bool = False,
) -> int:
    """Start everything, print where it listens, and run until Ctrl-C.

    Parameters
    ----------
    nexus_listen_port
        Port of the first Nexus' external API; 0 lets every port be any free one. Default: the configuration's, 12220.
    nexus_config
        Configuration of the first Nexus; database and DNS addresses in it are replaced. Default: configs/config.toml.
    gateway_config
        Simulated service processors of both gateways. Default: configs/sp-sim.toml.
    nexuses
        How many Nexuses to start, 1 to 16.
    name
        Name of the stack, for the other commands. Default: its process id.
    keep
        Keep the log files when it ends.
    json
        Print the summary as one JSON object on stdout.
    """
    from xtask.run_all import run

    return run(
        nexus_listen_port=nexus_listen_port,
        nexus_config=nexus_config,
        gateway_config=gateway_config,
        nexuses=nexuses,
        name=name,
        keep=keep,
        json=json,
    )


@app.command
def status(*, name: Name = None, json: bool = False) -> int:
    """Show every service of a running stack: address, health, uptime, pid; and the sagas by state.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    from xtask.status import examine, render

    stack = find(name)
    examined = examine(stack)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(examined) + b"\n")
    else:
        render(examined)
    return 0 if examined.healthy else 1


@app.command
def env(*, name: Name = None) -> int:
    """Print the `export` lines that point omdb at a running stack: `eval "$(… omicron-dev env)"`."""
    from xtask.nexus_probe import best_nexus

    stack = find(name)
    for variable, value in stack.environment(best_nexus(stack)).items():
        print(f"export {variable}={shlex.quote(value)}")
    return 0


@app.command
def logs(
    service: str | None = None,
    /,
    *,
    follow: Annotated[bool, Parameter(name=["-f", "--follow"])] = False,
    name: Name = None,
) -> int:
    """Print the log of one service, or of all in the order of time.

    Parameters
    ----------
    service
        A name that `status` shows, `stack` for the launcher itself, or the start of a Nexus' id. Default: all.
    follow
        Go on as lines come, until Ctrl-C.
    """
    from xtask.logs import LogNotFound, print_logs

    stack = find(name)
    try:
        print_logs(stack.facts, service, follow=follow)
    except LogNotFound as exc:
        raise Refused(str(exc)) from exc
    return 0


@app.command
def down(*, name: Name = None) -> int:
    """End a running stack as Ctrl-C in its terminal would, and return when nothing of it is left."""
    from xtask.down import take_down

    take_down(find(name))
    return 0


@db.command(name="stop")
def db_stop(*, name: Name = None) -> int:
    """Stop Postgres in an orderly way; the stack goes on and waits for it."""
    return _order_database(name, "db-stop", "stopped")


@db.command(name="start")
def db_start(*, name: Name = None) -> int:
    """Start Postgres again, on the same port and data."""
    return _order_database(name, "db-start", "running")


def _order_database(name: str | None, verb: str, outcome: str) -> int:
    stack = find(name)
    order(stack, verb)
    say(f"{stack.facts.database.kind} at {stack.facts.database.address} is {outcome}")
    return 0
