"""Makes `.venv`: plan what to do, then do it under a lock, and say so on stderr.

Called by `xtask.bootstrap` in a Python that is new enough and not the environment's own. `plan` decides without I/O
what must be done; `make` looks, plans and carries it out. Two processes may be at it at once: the second waits and then
finds the work done. One that is stopped half-way leaves an environment without its stamps, and the next remakes it.

The locked packages are installed by uv if it is on PATH, else, or if uv fails, by pip. Beside them `.venv` holds

- `made-by-xtask`, first of all: only a `.venv` with this mark, or one in which nothing is installed, is ever removed;
- a `.pth` file that is one path, to our own packages: pip takes no editable install together with hashes, and the
  `.pth` files of editable installs cost each start of Python 10 ms;
- the scripts `xtask`, `nexus` and `omdb` in `bin`;
- the stamps, last (see `xtask.bootstrap`).

Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections import deque
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xtask import bootstrap, bytecode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAMS = ("nexus", "omdb", "xtask")

FAILURE_TAIL_LINES = 15
PROGRESS_PERIOD_S = 2.0
PROGRESS_WIDTH = 100

PRISTINE_NAMES = frozenset(
    {
        "_distutils_hack",
        "_virtualenv.pth",
        "_virtualenv.py",
        "distutils-precedence.pth",
        "pip",
        "pkg_resources",
        "setuptools",
    }
)
"""What an environment holds in which nobody has installed anything, beside `pip-*` and `setuptools-*`."""

# A user's settings that would send pip's work elsewhere, or make it refuse. Empty is how a variable overrides a file.
PIP_DEFUSED = ("PIP_CONSTRAINT", "PIP_PREFIX", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "PIP_ROOT", "PIP_TARGET")
FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "UV_CONSTRAINT", "UV_PYTHON", "UV_SYSTEM_PYTHON")


class CannotMake(Exception):
    """The environment cannot be made; the text is for the user, and says what to do where that is known."""


class StepFailed(Exception):
    """A command failed: which one, how, and the end of what it said."""

    def __init__(self, command: tuple[str, ...], status: int, tail: tuple[str, ...]) -> None:
        super().__init__(f"this failed with status {status}: {shlex.join(command)}")
        self.tail = tail


@dataclass(frozen=True, slots=True)
class Current:
    """Nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Add:
    """Install what these lock files list into the environment that is there."""

    locks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remake:
    """Make the environment from nothing."""

    reason: str


Plan = Current | Add | Remake


def plan(installed: Mapping[str, bytes | None], wanted: Mapping[str, bytes], *, exists: bool) -> Plan:
    """What makes an environment with the stamps `installed` one with the stamps `wanted`.

    The first lock file is the foundation: when it changes, everything is made anew, so that nothing of what it listed
    before stays behind. The others only add to it.
    """
    foundation = next(iter(wanted))
    stamp = installed[foundation]
    if not exists:
        return Remake("there is none, or its Python is gone")
    if stamp is None or b"" in installed.values():
        return Remake("it was not made to its end")
    if stamp != wanted[foundation]:
        return Remake(_difference(stamp, wanted[foundation], lock=foundation))
    missing = tuple(lock for lock in wanted if installed[lock] != wanted[lock])
    return Add(missing) if missing else Current()


def _difference(stamp: bytes, wanted: bytes, *, lock: str) -> str:
    was, now = stamp.split(b"\n", 4), wanted.split(b"\n", 4)
    if was[1:2] != now[1:2]:
        return "the checkout has moved"
    if was[2:4] != now[2:4]:
        return "its Python is gone or has changed"
    if was[0] != now[0]:
        return "xtask now makes it differently"
    return f"{lock} has changed"


def make(program: str, locks: Sequence[str]) -> None:
    """Make or update `.venv` so that `locks` are what is installed in it. Exits 1, with the reason, if that fails."""
    progress = _Progress(program)
    try:
        _refuse_platform()
        with _locked(progress) as lock_fd:
            _carry_out(_plan_now(locks), locks, _Commands(lock_fd, progress))
    except StepFailed as failure:
        for line in failure.tail:
            print(f"  | {line}", file=sys.stderr)
        sys.exit(f"{program}: cannot make {bootstrap.VENV}: {failure}")
    except (CannotMake, OSError) as error:
        sys.exit(f"{program}: cannot make {bootstrap.VENV}: {error}")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"{program}: interrupted; the next run starts over", file=sys.stderr)
        sys.exit(130)


def _plan_now(locks: Sequence[str]) -> Plan:
    installed = {lock: bootstrap.read_stamp(lock) for lock in locks}
    wanted = {lock: bootstrap.stamp_content(lock) for lock in locks}
    return plan(installed, wanted, exists=os.path.exists(bootstrap.VENV_PYTHON))


def _carry_out(planned: Plan, locks: Sequence[str], commands: _Commands) -> None:
    started = time.monotonic()
    match planned:
        case Current():
            return
        case Add(missing):
            commands.progress.say(f"installing {', '.join(missing)} into {bootstrap.VENV}")
            for lock in missing:
                Path(bootstrap.stamp_path(lock)).write_bytes(b"")  # begun
            try:
                _install(missing, commands, instead=locks)
            except StepFailed:
                # An installer that gives up has changed nothing; one that is killed leaves the mark.
                for lock in missing:
                    Path(bootstrap.stamp_path(lock)).unlink(missing_ok=True)
                raise
        case Remake(reason):
            version = ".".join(str(part) for part in sys.version_info[:3])
            commands.progress.say(f"making {bootstrap.VENV} with Python {version} ({reason})")
            _start_over(commands)
            _install(locks, commands, instead=locks)
    _add_our_own()
    bytecode.compile_stale(bootstrap.ROOT)
    for lock in locks:
        _write_whole(Path(bootstrap.stamp_path(lock)), bootstrap.stamp_content(lock))
    commands.progress.say(f"the environment is ready after {time.monotonic() - started:.1f} s")


def _refuse_platform() -> None:
    if sys.platform == "linux":
        try:
            os.confstr("CS_GNU_LIBC_VERSION")
        except ValueError:
            raise CannotMake(
                "this Linux has musl for its C library, and the packaged Postgres needs glibc: use a Debian, Ubuntu or "
                "Fedora system or image, such as python:3.13-slim for python:3.13-alpine"
            ) from None


@contextlib.contextmanager
def _locked(progress: _Progress) -> Iterator[int]:
    """Hold the only right to change `.venv`, and yield the descriptor that every command run meanwhile inherits.

    So an installer that goes on when this process was killed still keeps the next one out. The lock is on a file that
    nobody replaces meanwhile.
    """
    with open(os.path.join(bootstrap.ROOT, bootstrap.RUNTIME_LOCKS[0]), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("waiting for another process that is making the environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: not to start two at once is then left to the user
        yield file.fileno()


def _start_over(commands: _Commands) -> None:
    venv = Path(bootstrap.VENV)
    if venv.is_symlink() or (venv.exists() and not bootstrap.is_ours() and not _is_pristine(venv)):
        raise CannotMake("it was not made by xtask, and something is installed in it; move it away or remove it")
    venv.mkdir(exist_ok=True)
    mark = Path(bootstrap.marker_path())
    mark.touch()
    for lock in bootstrap.DEV_LOCKS:
        Path(bootstrap.stamp_path(lock)).unlink(missing_ok=True)
    for entry in venv.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != mark:
            entry.unlink()
    commands.run(sys.executable, "-m", "venv", "--without-pip", bootstrap.VENV)


def _is_pristine(venv: Path) -> bool:
    """Is it an environment as `python -m venv` or `uv venv` leave it, or an empty directory?"""
    if not (venv / "pyvenv.cfg").exists():
        return not any(venv.iterdir())
    installed = {path.name for path in venv.glob("lib/python3*/site-packages/*")}
    return all(name in PRISTINE_NAMES or name.startswith(("pip-", "setuptools-")) for name in installed)


def _install(locks: Sequence[str], commands: _Commands, *, instead: Sequence[str]) -> None:
    """Install `locks` by uv or pip. If uv fails, pip installs `instead`, from nothing: who knows what uv has left."""
    uv = shutil.which("uv")
    if uv is not None:
        try:
            commands.run(*_uv_install(uv, locks))
            return
        except StepFailed as failure:
            commands.progress.say(f"{failure}")
            for line in failure.tail[-3:]:
                commands.progress.say(f"  {line}")
            commands.progress.say("starting over with pip")
            _start_over(commands)
            locks = instead
    for command in _pip_install(locks):
        commands.run(*command)


def _uv_install(uv: str, locks: Sequence[str]) -> tuple[str, ...]:
    options = ("--require-hashes", "--no-deps", "--no-build", "--compile-bytecode")
    return (uv, "pip", "install", "--python", bootstrap.VENV_PYTHON, *options, *_requirements(locks))


def _pip_install(locks: Sequence[str]) -> list[tuple[str, ...]]:
    """The pip that this Python has installs into another environment; making one in there takes seconds."""
    options = ("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off")
    install = ("install", *options, *_requirements(locks))
    if find_spec("pip"):
        return [(sys.executable, "-m", "pip", "--python", bootstrap.VENV_PYTHON, *install)]
    if find_spec("ensurepip"):
        python = bootstrap.VENV_PYTHON
        return [(python, "-m", "ensurepip"), (python, "-m", "pip", *install)]
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    raise CannotMake(
        f"{sys.executable} has neither pip nor ensurepip, and uv is not on PATH; install one of them, on Debian and "
        f"Ubuntu by: apt install {name}-venv"
    )


def _requirements(locks: Sequence[str]) -> Iterator[str]:
    for lock in locks:
        yield "-r"
        yield os.path.join(bootstrap.ROOT, lock)


def _add_our_own() -> None:
    site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": bootstrap.VENV}))
    # What packages run at each start of Python, for 5-9 ms each, nothing here needs: namespace packages have been part
    # of the language since 3.3 (testing.*-nspkg.pth), and nobody builds with distutils (distutils-precedence.pth).
    for hook in site_packages.glob("*.pth"):
        hook.unlink()
    _write_whole(site_packages / "omicron-dev.pth", os.fsencode(bootstrap.ROOT + "\n"))
    for program in PROGRAMS:
        script = Path(bootstrap.VENV, "bin", program)
        _write_whole(script, os.fsencode(_SCRIPT.format(python=shlex.quote(bootstrap.VENV_PYTHON), program=program)))
        script.chmod(0o777 & ~_umask())


# A shell script, for the path of an interpreter in a `#!` line may have neither blanks nor any length. -P: what lies in
# the current directory must not be taken for one of our modules.
_SCRIPT = """\
#!/bin/sh
unset PYTHONHOME PYTHONPATH
exec {python} -P -m {program} "$@"
"""


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that a reader finds the old content or the new, never a part."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


class _Progress:
    """Plain lines on stderr. Of what a command says, one line every few seconds."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{self._program}: {text}", file=sys.stderr, flush=True)
        self._last = time.monotonic()

    def heard(self, text: str) -> None:
        if time.monotonic() - self._last >= PROGRESS_PERIOD_S:
            self.say(f"  {text[:PROGRESS_WIDTH]}")


@dataclass(frozen=True, slots=True)
class _Commands:
    """Runs commands one after another. Each inherits `lock_fd`, see `_locked`."""

    lock_fd: int
    progress: _Progress

    def run(self, *command: str) -> None:
        """Raises StepFailed, with the end of what the command said. Interrupted, it ends the command first."""
        tail: deque[str] = deque(maxlen=FAILURE_TAIL_LINES)
        with subprocess.Popen(
            command,
            cwd=bootstrap.ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self.lock_fd,),
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if text := line.strip():
                        tail.append(text)
                        self.progress.heard(text)
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise StepFailed(command, process.returncode, tuple(tail))


def _environment() -> dict[str, str]:
    """The user's own settings, save for those that would send the packages elsewhere or none at all."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return kept | dict.fromkeys(PIP_DEFUSED, "") | {"PIP_USER": "0", "PIP_ROOT_USER_ACTION": "ignore"}
