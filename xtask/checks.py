"""`xtask check` and `xtask test`: what CI runs, each step's output as it comes, and a summary at the end."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

ROOT = Path(__file__).parents[1]

LAYERING_TEST = "tests/unit/test_layering.py"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of ours: the arguments of this Python."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    step: Step
    status: int
    seconds: float


CHECKS = (
    Step("lint", ("-m", "ruff", "check")),
    Step("format", ("-m", "ruff", "format", "--check")),
    Step("types", ("-m", "mypy")),
)
LAYERING = Step("layering", ("-m", "pytest", "--quiet", LAYERING_TEST))
GUARANTEES = Step("guarantees", ("-m", "xtask", "check-guarantees"))

IN_TWO_PROCESSES = ("--numprocesses=2", "--dist=loadfile")
"""Much of a test is waiting for other processes. Only one file listens on fixed ports, so those stay in one process."""


def check() -> int:
    """Run ruff, mypy --strict and the layering test. All of them run, whichever fails."""
    return _run_all((*CHECKS, LAYERING))


def test(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Run ruff and mypy --strict, the tests, layering included, and check-guarantees. All run, whichever fails.

    Parameters
    ----------
    arguments
        Passed on to pytest, to run some of the tests; then without check-guarantees. The tests run in two processes:
        `-n 0` for one, as `--pdb` needs it.
    """
    tests = Step("tests", ("-m", "pytest", *IN_TWO_PROCESSES, *arguments))
    return _run_all((*CHECKS, tests) if arguments else (*CHECKS, tests, GUARANTEES))


def _run_all(steps: tuple[Step, ...]) -> int:
    if not (ROOT / LAYERING_TEST).exists():
        print("xtask: the tests are not installed: run this in a checkout", file=sys.stderr)
        return 1
    outcomes = [_run(step) for step in steps]
    print(summary(outcomes), end="", file=sys.stderr)
    return 1 if any(outcome.status for outcome in outcomes) else 0


def summary(outcomes: list[Outcome]) -> str:
    """A line for each step, each ending in a newline; for one that failed, how to run it alone."""
    lines = ["xtask: summary"]
    for outcome in outcomes:
        verdict = "passed" if outcome.status == 0 else f"FAILED with status {outcome.status}"
        line = f"{outcome.step.name:11}{outcome.seconds:6.1f} s  {verdict}"
        if outcome.status:
            line += f": python {shlex.join(outcome.step.arguments)}"
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _run(step: Step) -> Outcome:
    print(f"xtask: {step.name}: python {shlex.join(step.arguments)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    status = subprocess.run(
        [sys.executable, *step.arguments], cwd=ROOT, stdin=subprocess.DEVNULL, check=False
    ).returncode
    return Outcome(step, status, time.monotonic() - started)
