"""The provision saga, killed before and after every event that it writes: forward, unwinding, and on its way to stuck.

With CRASH_MATRIX=all in the environment every node fails in turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from nexus.sagas.provision import NODES, ProvisionParams

ROOT = Path(__file__).parents[3]

FAILING = NODES if os.environ.get("CRASH_MATRIX") == "all" else ("network/firewall",)

RUNS = [
    ProvisionParams(),
    *(ProvisionParams(fail=(node,)) for node in FAILING),
    *(ProvisionParams(fail=(node,), fail_undo=("record",)) for node in FAILING),
]


@pytest.mark.parametrize("params", RUNS, ids=str)
def test_killed_at_every_event_and_recovered(database_url: str, params: ProvisionParams) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, str(ROOT / "tests/crash_matrix.py"), database_url, msgspec.json.encode(params).decode()]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failures; the saga is done" in done.stdout
