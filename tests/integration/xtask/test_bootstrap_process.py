"""The environment is made for real, for a small checkout that locks one package of its own. No network."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON = str(Path(sys.executable).resolve())
"""Not an environment's: it has none of our packages."""

REPORT = """\
import sys
import tiny
def run(arguments):
    print(sys.prefix, tiny.VERSION, *arguments)
    return 7
"""

pytestmark = pytest.mark.skipif(
    not (find_spec("pip") or find_spec("ensurepip")), reason="this Python has neither pip nor ensurepip"
)


@dataclass
class Checkout:
    root: Path
    path: str = "/usr/bin:/bin"
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def lock(self, name: str, version: int, *, sha256: str | None = None) -> None:
        """`name` locks the package tiny (requirements.lock) or tinydev (requirements-dev.lock)."""
        package = {"requirements.lock": "tiny", "requirements-dev.lock": "tinydev"}[name]
        digest = _build_wheel(self.root / "wheels", package, version)
        (self.root / name).write_text(
            f"--no-index\n--find-links wheels\n{package}=={version} --hash=sha256:{sha256 or digest}\n"
        )

    def command(self, *command: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        environ = {"PATH": self.path, "HOME": str(self.root / "home"), "PIP_CONFIG_FILE": os.devnull, **self.environ}
        return subprocess.Popen(
            command,
            cwd=cwd or self.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, cwd: Path | None = None) -> tuple[int, str, str]:
        process = self.command(*command, cwd=cwd)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def xtask(self, *arguments: str) -> tuple[int, str, str]:
        return self.run(PYTHON, "-m", "xtask", *arguments)

    def expected(self, *arguments: str, version: int = 1) -> str:
        return " ".join([str(self.venv), str(version), *arguments]) + "\n"


def _build_wheel(directory: Path, package: str, version: int) -> str:
    """Write a wheel with a `.pth` file that runs code, as some have, and return its digest."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{package}-{version}-py3-none-any.whl"
    info = f"{package}-{version}.dist-info"
    files = {
        f"{package}.py": f"VERSION = {version}\n",
        f"{package}-nspkg.pth": "import sys; sys.hooked = True\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text)}\n"
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "a checkout")
    for package in ("dropshot", "nexus", "omdb", "simstack", "xtask"):
        (made.root / package).mkdir(parents=True)
        (made.root / package / "__init__.py").touch()
    for path in (
        "omdb/__main__.py",
        *(f"xtask/{name}.py" for name in ("__main__", "bootstrap", "bytecode", "environment")),
    ):
        shutil.copy(ROOT / path, made.root / path)
    for program in ("omdb", "xtask"):
        (made.root / program / "cli.py").write_text(REPORT)
    made.lock("requirements.lock", 1)
    made.lock("requirements-dev.lock", 1)
    return made


def test_from_a_clone_to_a_stale_environment(checkout: Checkout, tmp_path: Path) -> None:
    status, out, err = checkout.run(PYTHON, "-m", "omdb", "sagas")
    assert (status, out) == (1, "")
    assert err == f"omdb: {checkout.venv} is not made yet, or not to its end; run: python3 -m xtask bootstrap\n"

    # The first xtask makes it, and then runs, in place of the process that was started.
    status, out, err = checkout.xtask("omicron-dev", "run all")
    assert (status, out) == (7, checkout.expected("omicron-dev", "run all"))
    assert err.splitlines()[0].startswith(f"xtask: making {checkout.venv} with Python 3.")
    assert err.splitlines()[-1].startswith("xtask: the environment is ready after ")

    # From then on nobody says a word: xtask, omdb, and the scripts from anywhere.
    assert checkout.xtask("status") == (7, checkout.expected("status"), "")
    assert checkout.run(PYTHON, "-m", "omdb", "sagas") == (7, checkout.expected("sagas"), "")
    (tmp_path / "tiny.py").write_text("VERSION = 'shadowed'\n")
    assert checkout.run(str(checkout.venv / "bin/omdb"), "a b", cwd=tmp_path) == (7, checkout.expected("a b"), "")

    site_packages = checkout.venv / Path(sysconfig.get_path("purelib", "venv", {"base": "."}))
    assert [hook.name for hook in site_packages.glob("*.pth")] == ["omicron-dev.pth"]
    assert (site_packages / "omicron-dev.pth").read_text() == f"{checkout.root}\n"
    assert len(list((checkout.root / "omdb/__pycache__").glob("__main__.*.pyc"))) == 1

    # Developers' packages are added to it.
    inode = checkout.venv.stat().st_ino
    status, out, err = checkout.xtask("test")
    assert (status, out) == (7, checkout.expected("test"))
    assert "installing requirements-dev.lock" in err
    assert (site_packages / "tinydev.py").exists()

    # A lock file that says something else: noticed even inside the environment.
    checkout.lock("requirements.lock", 2)
    status, out, err = checkout.run(str(checkout.venv / "bin/python"), "-m", "xtask")
    assert (status, out) == (7, checkout.expected(version=2))
    assert "(requirements.lock has changed)" in err
    assert checkout.venv.stat().st_ino == inode


def test_what_was_left_half_made_is_made_again(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "made-by-xtask").touch()
    (checkout.venv / "bin/python").symlink_to("/nowhere/python3.11")
    status, out, err = checkout.xtask()
    assert (status, out) == (7, checkout.expected())
    assert "(there is none, or its Python is gone)" in err

    Path(checkout.venv, "installed-requirements.lock").unlink()
    status, out, err = checkout.xtask()
    assert (status, out) == (7, checkout.expected())
    assert "(it was not made to its end)" in err


def test_two_at_once_make_it_once(checkout: Checkout) -> None:
    both = [checkout.command(PYTHON, "-m", "xtask", name) for name in ("one", "two")]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [7, 7]
    assert [out for out, _ in outputs] == [checkout.expected("one"), checkout.expected("two")]
    assert sum(err.count(": making ") for _, err in outputs) == 1


def test_a_failure_says_which_command_and_how_it_ended(checkout: Checkout) -> None:
    checkout.lock("requirements.lock", 1, sha256="0" * 64)
    status, out, err = checkout.xtask()
    assert (status, out) == (1, "")
    *tail, last = err.splitlines()
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in "".join(tail)
    assert last.startswith(f"xtask: cannot make {checkout.venv}: this failed with status 1: {PYTHON} -m pip ")

    checkout.lock("requirements.lock", 1)
    assert checkout.xtask()[:2] == (7, checkout.expected())


def test_where_uv_fails_pip_is_used(checkout: Checkout) -> None:
    (checkout.root / "bin").mkdir()
    uv = checkout.root / "bin/uv"
    uv.write_text('#!/bin/sh\necho "error: no route to the index" >&2\nexit 2\n')
    uv.chmod(0o755)
    checkout.path = f"{uv.parent}:{checkout.path}"
    status, out, err = checkout.xtask()
    assert (status, out) == (7, checkout.expected())
    assert "error: no route to the index" in err
    assert "starting over with pip" in err


def test_settings_for_other_pythons_do_no_harm(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/tiny.py").write_text("VERSION = 'theirs'\n")
    checkout.environ = {
        "PYTHONPATH": str(tmp_path / "theirs"),
        "VIRTUAL_ENV": str(tmp_path / "elsewhere"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_USER": "1",
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_REQUIRE_VIRTUALENV": "1",
    }
    assert checkout.xtask()[:2] == (7, checkout.expected())
    assert checkout.run(PYTHON, "-m", "omdb") == (7, checkout.expected(), "")
    assert not (tmp_path / "target").exists()
    assert len(list((checkout.root / "omdb/__pycache__").glob("__main__.*.pyc"))) == 1


def test_an_environment_of_the_users_own_is_left_alone(checkout: Checkout) -> None:
    theirs = checkout.venv / "lib/python3.11/site-packages/theirs.py"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    (checkout.venv / "pyvenv.cfg").touch()
    status, _, err = checkout.xtask()
    assert status == 1
    assert err.splitlines()[-1] == (
        f"xtask: cannot make {checkout.venv}: it was not made by xtask, and something is installed in it;"
        " move it away or remove it"
    )
    assert theirs.exists()
