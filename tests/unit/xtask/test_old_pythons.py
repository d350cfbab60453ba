"""What runs before the environment exists must parse on Pythons that are too old for everything else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xtask import bootstrap

ROOT = Path(__file__).parents[3]
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))

PARSED_BY_ALL = [
    "xtask/bootstrap.py",
    *(f"{program}/{name}.py" for program in ("nexus", "omdb", "xtask") for name in ("__init__", "__main__")),
]


@pytest.mark.parametrize("path", PARSED_BY_ALL)
def test_parses(path: str) -> None:
    source = (ROOT / path).read_text()
    ast.parse(source, path, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source, "Python 3.6 does not know it"


def old_python(version: str) -> str:
    readable = os.access(PYENV, os.R_OK | os.X_OK)
    found = sorted(PYENV.glob(f"versions/{version}.*/bin/python{version}")) if readable else []
    if not found:
        pytest.skip(f"there is no Python {version} below {PYENV}")
    return str(found[-1])


@pytest.mark.parametrize("version", ["3.6", "3.9", "3.10"])
@pytest.mark.parametrize("on_path", [True, False])
def test_says_that_it_is_too_old(tmp_path: Path, version: str, *, on_path: bool) -> None:
    python = old_python(version)
    for path in PARSED_BY_ALL:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    for lock in bootstrap.DEV_LOCKS:
        (tmp_path / lock).touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.15").write_text("#!/bin/sh\necho not installed >&2\nexit 127\n")
    (tmp_path / "bin/python3.15").chmod(0o755)
    if on_path:
        (tmp_path / "bin/python3.11").symlink_to(Path(sys.executable).resolve())

    command = [python, "-m", "xtask", "omicron-dev", "run-all"]
    environment = {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"xtask: Python 3.11 or newer is needed, found {version}.")
    if on_path:
        assert line.endswith("; run: python3.11 -m xtask omicron-dev run-all")
    else:
        assert line.endswith("then run: python3.13 -m xtask omicron-dev run-all")
    assert not (tmp_path / ".venv").exists()
