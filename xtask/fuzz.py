"""`xtask fuzz`: the property tests with as many examples as one likes.

They run in rounds, each a pytest of its own with a hypothesis seed of its own. So progress is told, memory is freed,
and a failure is replayed by running its round alone: the same seed makes the same examples. Hypothesis then shows the
smallest failing case that it finds from there.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter, validators

ROOT = Path(__file__).parents[1]

SAGA_TESTS = (
    "tests/property/saga/test_stories.py::test_g1_to_g5_in_any_story",
    "tests/property/saga/test_execution_runs.py::test_g3_every_run_ends_as_the_oracle_says",
)
"""Those that have as many examples as FUZZ_EXAMPLES in the environment says."""

ROUND = 1_000
"""Examples of each test: some ten seconds, which is what a replay takes."""

ROUND_HANGS_AFTER_S = 1_800.0

app = cyclopts.App(name="fuzz", version_flags=(), help="Run property tests with many examples.")

Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]


@dataclass(frozen=True, slots=True)
class Round:
    seed: int
    examples: int

    @property
    def replay(self) -> str:
        return f"python -m xtask fuzz sagas --seed {self.seed} --examples {self.examples}"


@dataclass(frozen=True, slots=True)
class Result:
    round: Round
    passed: bool
    seconds: float
    output: str


def rounds(examples: int, seed: int) -> list[Round]:
    return [
        Round(seed + number, min(ROUND, examples - start)) for number, start in enumerate(range(0, examples, ROUND))
    ]


@app.command
def sagas(*, examples: Count = 100_000, seed: int | None = None, jobs: Count = 1) -> int:
    """Run sagas against an oracle: random DAGs, schedules, failures and crashes, several SECs, stale ones among them.

    Ends at the first failure, shows it, and says how to replay it.

    Parameters
    ----------
    examples
        Of each test: one is about the whole engine, one about its pure core.
    seed
        Of the first thousand examples; the next thousand have the next. Chosen and told, if it is not given.
    jobs
        So many thousands at a time.
    """
    first = secrets.randbelow(1 << 32) if seed is None else seed
    done = 0
    print(f"fuzz: {examples:,} examples of {len(SAGA_TESTS)} tests, first seed {first}", flush=True)
    pool = ThreadPoolExecutor(jobs)
    try:
        for result in pool.map(_run, rounds(examples, first)):
            if not result.passed:
                print(result.output)
                print(f"fuzz: FAILED with seed {result.round.seed}; to replay it: {result.round.replay}")
                return 1
            done += result.round.examples
            print(f"fuzz: {done:,} of {examples:,}; seed {result.round.seed}: {result.seconds:.1f} s", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    print("fuzz: passed")
    return 0


def _run(round_: Round) -> Result:
    argv = [
        *(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"),
        *(f"--hypothesis-seed={round_.seed}", *SAGA_TESTS),
    ]
    started = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env=os.environ | {"FUZZ_EXAMPLES": str(round_.examples)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=ROUND_HANGS_AFTER_S,
            check=False,
        )
        passed, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as expired:
        passed, output = False, f"{expired.output}\nno end after {ROUND_HANGS_AFTER_S:.0f} s"
    return Result(round_, passed, time.monotonic() - started, output)
