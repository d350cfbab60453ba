"""The command tree of xtask. A command's module is imported when it runs."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import cyclopts

from dropshot.release import RELEASE
from xtask.banner import PREFIX
from xtask.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

app = cyclopts.App(
    name="xtask",
    help="Developer commands of the simulated control plane.",
    version=RELEASE,
    result_action="return_value",
    default_parameter=cyclopts.Parameter(negative=()),
    error_formatter=lambda error: f"Error: {error}",
)
app.command("xtask.omicron_dev:app", name="omicron-dev", help="Run a simulated control-plane stack.")
app.command("xtask.db_dev:app", name="db-dev", help="Run an ephemeral database alone.")
app.command("xtask.checks:test", name="test", help="Check, then run all tests.")
app.command("xtask.checks:check", name="check", help="Lint, formatting, types and layering.")
app.command(
    "xtask.guarantees:check_guarantees", name="check-guarantees", help="Break each guarantee, and see its test fail."
)
app.command("xtask.fuzz:app", name="fuzz", help="Run property tests with many examples.")
app.command("xtask.bench:app", name="bench", help="Measure the stack, as ratios to a floor in the same run.")


@app.command
def bootstrap() -> int:
    """Make or update the Python environment that all commands run in (.venv), and print its interpreter."""
    print(sys.executable)  # the environment was made before this module could be imported
    return 0


def run(arguments: Sequence[str]) -> int:
    """The exit status: the command's own, or 2 (with help on stderr) where no command was named."""
    _, apps, rest = app.parse_commands(arguments)
    if not rest and apps[-1].default_command is None:
        from rich.console import Console  # 30 ms that only a call without a command pays

        app.help_print(arguments, console=Console(stderr=True))
        return 2
    # Loading is over; from here on an interruption is the command's own matter.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = app(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Refused as exc:
        print(f"{PREFIX}{exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status if isinstance(status, int) else 0
