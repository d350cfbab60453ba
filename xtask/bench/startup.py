"""How long a warm `run-all` takes until everything it prints answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from xtask.bench.measure import HEADER, Rounds, environment_of_a_user, interleave, wall_clock

IMPORTS = "import trio, hypercorn.trio, quart_trio, psycopg, msgspec"
GOALS = {1: 2.5, 2: 3.0}

REFILL_S = 2.0
"""How long each stack stays up: as one that is used does, it prepares the next one's database meanwhile."""


def startup(*, rounds: Rounds = 7) -> int:
    """Time run-all with one and two Nexuses against the bare import of what it is made of.

    Parameters
    ----------
    rounds
        Timed rounds; one more comes first and warms the caches.
    """
    env = environment_of_a_user()
    floor_name = f"python -c '{IMPORTS[:28]}…'"
    timings = interleave(
        {
            floor_name: lambda: wall_clock([sys.executable, "-c", IMPORTS], env=env),
            "run-all --nexuses 1": lambda: _until_running(1, env),
            "run-all --nexuses 2": lambda: _until_running(2, env),
        },
        rounds=rounds,
    )
    floor = timings[floor_name]
    print(f"warm start to 'services are running', {rounds} interleaved rounds; the floor is {IMPORTS!r}")
    print(HEADER)
    for timing in timings.values():
        print(timing.row(floor))
    missed = False
    for nexuses, goal in GOALS.items():
        ratio = timings[f"run-all --nexuses {nexuses}"].median / floor.median
        verdict = "met" if ratio <= goal else "MISSED"
        print(f"goal with {nexuses} Nexus: at most {goal}; measured {ratio:.2f}: {verdict}")
        missed = missed or ratio > goal
    return 1 if missed else 0


def _until_running(nexuses: int, env: dict[str, str]) -> float:
    argv = [
        sys.executable,
        "-m",
        "xtask",
        "omicron-dev",
        "run-all",
        "--nexus-listen-port",
        "0",
        "--nexuses",
        str(nexuses),
    ]
    start = time.perf_counter()
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as launcher:
        try:
            assert launcher.stdout is not None
            for line in launcher.stdout:
                if "services are running" in line:
                    taken = time.perf_counter() - start
                    time.sleep(REFILL_S)
                    return taken
            assert launcher.stderr is not None
            raise SystemExit(f"run-all ended before it was up:\n{launcher.stderr.read()}")
        finally:
            os.kill(launcher.pid, signal.SIGINT)
            launcher.communicate(timeout=30)
