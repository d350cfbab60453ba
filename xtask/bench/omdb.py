"""What one omdb command feels like, beside psql and a bare interpreter."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from simstack.binaries import find_binaries
from xtask.bench.measure import HEADER, Rounds, environment_of_a_user, interleave, wall_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

GOAL_MS = 100.0
GOAL_RATIO = 4.0


def omdb(*, rounds: Rounds = 21) -> int:
    """Time `omdb nexus sagas list`, `psql -c 'select 1'` and an interpreter without our packages, interleaved.

    Parameters
    ----------
    rounds
        Timed rounds; one more comes first and warms the caches.
    """
    psql = shutil.which("psql") or str(find_binaries().directory / "psql")
    env = environment_of_a_user()
    with _stack(env) as facts, tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=False, symlinks=True)
        omdb_argv = [
            *(sys.executable, "-m", "omdb", "nexus"),
            *("--nexus-internal-url", f"http://{facts['nexuses'][0]['internal_address']}"),
            *("sagas", "list"),
        ]
        timings = interleave(
            {
                "psql -c 'select 1'": lambda: wall_clock([psql, facts["database"]["url"], "-c", "select 1"], env=env),
                "python -c pass (empty venv)": lambda: wall_clock([f"{scratch}/bin/python", "-c", "pass"], env=env),
                "python -c pass (.venv)": lambda: wall_clock([sys.executable, "-c", "pass"], env=env),
                "omdb nexus sagas list": lambda: wall_clock(omdb_argv, env=env),
            },
            rounds=rounds,
        )
    floor, subject = timings["psql -c 'select 1'"], timings["omdb nexus sagas list"]
    print(f"one command from start to exit, {rounds} interleaved rounds; psql is {psql}")
    print(HEADER)
    for timing in timings.values():
        print(timing.row(floor))
    met = subject.median * 1000 < GOAL_MS and subject.median <= GOAL_RATIO * floor.median
    print(f"goal: under {GOAL_MS:.0f} ms and at most {GOAL_RATIO:.0f} times psql: {'met' if met else 'MISSED'}")
    return 0 if met else 1


@contextmanager
def _stack(env: dict[str, str]) -> Iterator[dict[str, Any]]:
    argv = [sys.executable, "-m", "xtask", "omicron-dev", "run-all", "--nexus-listen-port", "0", "--json"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as launcher:
        try:
            assert launcher.stdout is not None
            yield json.loads(launcher.stdout.readline())
        finally:
            launcher.send_signal(signal.SIGINT)
            launcher.wait(timeout=30)
