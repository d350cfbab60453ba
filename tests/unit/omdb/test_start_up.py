"""What `omdb nexus sagas list` loads: its start-up is what a user feels, again and again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from canned_servers import CannedHttp

ROOT = Path(__file__).parents[3]

SLOW = {
    *("asyncio", "cyclopts", "dataclasses", "datetime", "email", "http", "inspect", "ipaddress", "logging"),
    *("msgspec", "rich", "ssl", "textwrap", "psycopg", "trio", "typing", "urllib", "uuid"),
}

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
before = set(sys.modules)
from omdb.cli import run
code = run({arguments!r})
print(code, *sorted(name for name in set(sys.modules) - before if "." not in name))
"""


def modules_loaded_by(*arguments: str) -> tuple[int, set[str]]:
    """Exit code and what was loaded beyond what the interpreter itself had loaded."""
    program = PROGRAM.format(root=str(ROOT), arguments=arguments)
    # -I and -S: no site, so that nothing is there before because of what happens to be installed.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    code, *modules = done.stdout.splitlines()[-1].split()
    return int(code), set(modules)


def test_listing_sagas_loads_nothing_slow() -> None:
    page: dict[str, object] = {"items": [], "next_page": None}
    with CannedHttp({"GET /sagas?limit=1000": (200, page)}).serve() as url:
        code, modules = modules_loaded_by("nexus", "sagas", "list", "--nexus-internal-url", url)
    assert code == 0
    assert modules & SLOW == set()


def test_the_gate_loads_nothing_slow() -> None:
    code, modules = modules_loaded_by("nexus", "sagas", "demo-create", "--nexus-internal-url", "http://[::1]:1")
    assert code == 1
    assert modules & SLOW == set()


def test_importing_omdb_loads_nothing() -> None:
    program = "import sys; before = set(sys.modules); import omdb; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "{'omdb'}\n"
