"""DBOS Transact for Python, in an environment and in processes of its own; see `dbos_child.py`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from uuid import uuid4

from xtask.bench.sagas.processes import answer_and_kill, answer_of

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-peer/bin/python"
PROGRAM = Path(__file__).with_name("dbos_child.py")

HOW_TO_GET_IT = (
    "dbos is not installed; in the checkout run: python3 -m venv .venv-peer && "
    ".venv-peer/bin/python -m pip install --require-hashes -r requirements-peer.lock"
)


def check_installed() -> None:
    """Raises SystemExit, and says how to get it."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import dbos"], capture_output=True).returncode:
        raise SystemExit(HOW_TO_GET_IT)


class Dbos:
    """On the same server as the sagas, in a database of its own."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.partition('?')[0].rpartition('/')[0]}/dbos"

    async def workflows_per_second(self, *, count: int) -> float:
        return await self._measure("throughput", count, figure="per_s")

    async def one_after_the_other_p50_s(self, *, count: int) -> float:
        return await self._measure("sequential", count, figure="p50_s")

    async def recover_s(self, *, count: int) -> float:
        """Seconds, after SIGKILL, until all of them have ended."""
        key = str(uuid4())
        await answer_and_kill(self._argv("park", count, key))
        return await self._measure("recover", count, key, figure="ended_s")

    async def _measure(self, what: str, count: int, *key: str, figure: str) -> float:
        return float(json.loads(await answer_of(self._argv(what, count, *key)))[figure])

    def _argv(self, what: str, count: int, *key: str) -> list[str]:
        return [str(PYTHON), str(PROGRAM), self._url, what, str(count), *key]
