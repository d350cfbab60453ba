"""A process that is stopped with SIGSTOP, loses its sagas to another, and goes on.

With ZOMBIE=all in the environment at 50 instants. ZOMBIE_SEED=N begins at another than the fixed seed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

ROUNDS = 50 if os.environ.get("ZOMBIE") == "all" else 3
SEED = int(os.environ.get("ZOMBIE_SEED", "0"))


def test_g4_a_zombie_writes_nothing(database_url: str) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, str(ROOT / "tests/zombie.py"), database_url, str(ROUNDS), str(SEED)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    ) as process:
        try:
            said, _ = process.communicate(timeout=60 * ROUNDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with its children, one of which may be stopped
    assert process.returncode == 0, said
    assert f"{ROUNDS} rounds, 0 failures" in said
