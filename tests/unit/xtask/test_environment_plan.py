from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from xtask import bootstrap, environment
from xtask.environment import Add, CannotMake, Current, Remake, StepFailed, plan

if TYPE_CHECKING:
    from pathlib import Path

R, D = "requirements.lock", "requirements-dev.lock"


def stamp(
    *,
    layout: int = 1,
    checkout: str = "/src",
    python: str = "/bin/python3.11",
    machine: str = "x86_64",
    lock: str = "a\n",
) -> bytes:
    return f"layout {layout}\ncheckout {checkout}\ninterpreter {python}\nplatform linux {machine}\n{lock}".encode()


NOW = {R: stamp(), D: stamp(lock="pytest==9\n")}


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({R: NOW[R], D: NOW[D]}, Current()),
        ({R: NOW[R], D: None}, Add((D,))),
        ({R: NOW[R], D: stamp(lock="pytest==8\n")}, Add((D,))),
        ({R: NOW[R], D: b""}, Remake("it was not made to its end")),
        ({R: None, D: None}, Remake("it was not made to its end")),
        ({R: None, D: NOW[D]}, Remake("it was not made to its end")),
        ({R: stamp(lock="a==0\n"), D: NOW[D]}, Remake("requirements.lock has changed")),
        ({R: stamp(checkout="/old"), D: NOW[D]}, Remake("the checkout has moved")),
        ({R: stamp(python="/bin/python3.12"), D: NOW[D]}, Remake("its Python is gone or has changed")),
        ({R: stamp(machine="aarch64"), D: NOW[D]}, Remake("its Python is gone or has changed")),
        ({R: stamp(layout=0), D: None}, Remake("xtask now makes it differently")),
    ],
)
def test_plan(installed: dict[str, bytes | None], expected: environment.Plan) -> None:
    assert plan(installed, NOW, exists=True) == expected


def test_what_only_developers_need_does_not_matter_to_others() -> None:
    assert plan({R: NOW[R]}, {R: NOW[R]}, exists=True) == Current()


def test_stamps_say_nothing_without_an_interpreter() -> None:
    assert plan({R: NOW[R], D: NOW[D]}, NOW, exists=False) == Remake("there is none, or its Python is gone")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (
        ("ROOT", tmp_path),
        ("VENV", tmp_path / ".venv"),
        ("VENV_PYTHON", tmp_path / ".venv/bin/python"),
    ):
        monkeypatch.setattr(bootstrap, name, str(value))
    for lock in bootstrap.DEV_LOCKS:
        (tmp_path / lock).write_text(f"of {lock}\n")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    return tmp_path


class TestStamp:
    def test_holds_while_nothing_changes(self, checkout: Path) -> None:
        assert not bootstrap.is_current(bootstrap.RUNTIME_LOCKS)
        with open(bootstrap.stamp_path(R), "wb") as file:
            file.write(bootstrap.stamp_content(R))
        assert bootstrap.is_current(bootstrap.RUNTIME_LOCKS)
        assert not bootstrap.is_current(bootstrap.DEV_LOCKS)

    @pytest.mark.parametrize("change", ["lock", "interpreter gone", "another interpreter"])
    def test_does_not_hold_after_a_change(self, checkout: Path, change: str) -> None:
        with open(bootstrap.stamp_path(R), "wb") as file:
            file.write(bootstrap.stamp_content(R))
        match change:
            case "lock":
                (checkout / R).write_text("of requirements.lock \n")
            case "interpreter gone":
                (checkout / ".venv/bin/python").unlink()
            case "another interpreter":
                (checkout / ".venv/bin/python").unlink()
                (checkout / ".venv/bin/python").symlink_to("/bin/sh")
        assert not bootstrap.is_current(bootstrap.RUNTIME_LOCKS)


class TestSomeoneElsesVenv:
    """Only what xtask made, or an environment with nothing in it, is removed."""

    def pristine(self, venv: Path) -> bool:
        return environment._is_pristine(venv)

    def test_an_empty_directory_is_taken(self, tmp_path: Path) -> None:
        assert self.pristine(tmp_path)

    def test_a_directory_of_something_else_is_not(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        assert not self.pristine(tmp_path)

    @pytest.mark.parametrize(
        ("installed", "expected"),
        [
            ((), True),
            (("pip", "pip-23.2.1.dist-info"), True),
            (("pip", "setuptools", "setuptools-65.5.0.dist-info", "_distutils_hack", "distutils-precedence.pth"), True),
            (("_virtualenv.py", "_virtualenv.pth"), True),
            (("pip", "requests"), False),
        ],
    )
    def test_an_environment_is_taken_if_nothing_is_installed(
        self, tmp_path: Path, installed: tuple[str, ...], expected: bool
    ) -> None:
        (tmp_path / "pyvenv.cfg").touch()
        for name in installed:
            (tmp_path / "lib/python3.11/site-packages" / name).mkdir(parents=True)
        assert self.pristine(tmp_path) is expected


class TestInstallers:
    def test_pip_of_this_python_if_it_has_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(environment, "find_spec", lambda name: name == "pip" or None)
        ((python, *arguments),) = environment._pip_install([R])
        assert python == sys.executable
        assert arguments[:5] == ["-m", "pip", "--python", bootstrap.VENV_PYTHON, "install"]
        assert {"--require-hashes", "--only-binary=:all:"} <= set(arguments)

    def test_else_pip_inside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(environment, "find_spec", lambda name: name == "ensurepip" or None)
        first, second = environment._pip_install([R])
        assert first == (bootstrap.VENV_PYTHON, "-m", "ensurepip")
        assert second[:4] == (bootstrap.VENV_PYTHON, "-m", "pip", "install")

    def test_else_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(environment, "find_spec", lambda name: None)
        with pytest.raises(CannotMake, match=r"neither pip nor ensurepip.* apt install python3\.\d+-venv$"):
            environment._pip_install([R])


def test_musl_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def confstr(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", confstr)
    with pytest.raises(CannotMake, match=r"musl .* use a Debian"):
        environment._refuse_platform()


class TestCommands:
    def commands(self, lock: Path) -> environment._Commands:
        return environment._Commands(os.open(lock, os.O_RDONLY), environment._Progress("xtask"))

    def test_a_failure_has_the_command_and_the_end_of_its_output(self, checkout: Path) -> None:
        script = "for i in $(seq 100); do echo line $i; done; echo the reason >&2; exit 3"
        with pytest.raises(StepFailed, match="this failed with status 3: sh -c 'for i in ") as failure:
            self.commands(checkout / R).run("sh", "-c", script)
        assert len(failure.value.tail) == environment.FAILURE_TAIL_LINES
        assert failure.value.tail[-2:] == ("line 100", "the reason")

    def test_settings_for_other_pythons_do_not_reach_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_USER", "PIP_INDEX_URL"):
            monkeypatch.setenv(name, "theirs")
        reached = environment._environment()
        assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & reached.keys()
        assert (reached["PIP_TARGET"], reached["PIP_USER"], reached["PIP_INDEX_URL"]) == ("", "0", "theirs")

    def test_inherits_the_lock(self, checkout: Path) -> None:
        """An installer that outlives xtask still keeps a second one out."""
        commands = self.commands(checkout / R)
        probe = f"test -e /dev/fd/{commands.lock_fd}"
        commands.run("sh", "-c", probe)
        assert subprocess.run(["sh", "-c", probe], check=False).returncode != 0
