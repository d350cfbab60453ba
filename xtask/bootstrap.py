"""Runs our commands in the checkout's own environment, `.venv` beside pyproject.toml.

The `main` of xtask, nexus and omdb calls in here before it imports anything else. Each of these returns only where the
packages are; elsewhere they replace the process, by the same command in the interpreter of `.venv`:

- `enter` (nexus, omdb) uses an environment that is there, or exits 1 naming the command that makes it;
- `enter_current` (xtask) first makes or updates the environment, which is `xtask.environment`.

They return at once where there is no checkout (our packages were installed as a wheel), and in a Python that was put in
charge of this checkout on purpose: it has the checkout on its path (`pip install -e`, a `.pth` file) and the packages.

An environment is current if its stamps say so. A stamp is everything that the environment was made from, verbatim: to
compare it takes 0.1 ms, where a digest would first import hashlib for 4 ms. It is written last and removed first.

Standard library only, and in the syntax of Python 3.6: an old Python must get far enough to say that it is too old.
"""

import os
import signal
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")

RUNTIME_LOCKS = ("requirements.lock",)
DEV_LOCKS = ("requirements.lock", "requirements-dev.lock")

LAYOUT = 1
"""Raised when what `xtask.environment` puts into `.venv` beside the locked packages changes."""

# The process whose `make` has just succeeded. It survives execve, and so does the process id: if the stamps still do
# not hold in the new program, making the environment once more would go on for ever.
_MADE_BY = "XTASK_ENVIRONMENT_MADE_BY"

# Set for another Python, these make ours look for its library or its packages in the wrong place.
_FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")

_IMPORTED_PACKAGES = ("argon2", "cyclopts", "dns", "hypercorn", "msgspec", "psycopg", "quart_trio", "rich", "structlog")


def end_on_interrupt(status: int) -> None:
    """Until a command handles it by itself, Ctrl-C ends the process at once, with this exit status and not a word."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))


def enter(program: str) -> None:
    """Go on in an interpreter that has our packages, or exit 1."""
    if _inside_venv() or not _is_checkout() or _is_provisioned():
        return
    if not (os.path.exists(VENV_PYTHON) and os.path.exists(stamp_path(RUNTIME_LOCKS[0]))):
        sys.exit(f"{program}: {VENV} is not made yet, or not to its end; run: python3 -m xtask bootstrap")
    _execute(program, VENV_PYTHON)


def enter_current(program: str, locks: "tuple[str, ...]") -> None:
    """Go on in a `.venv` in which exactly `locks` are installed, making it first if need be; or exit 1."""
    if not _is_checkout():
        return
    made_by = os.environ.pop(_MADE_BY, None)
    if _inside_venv():
        if is_current(locks):
            if sys.dont_write_bytecode:
                from xtask.bytecode import compile_stale

                compile_stale(ROOT)
            return
        if made_by == str(os.getpid()):
            sys.exit(f"{program}: {VENV} was made, but does not hold what it should; remove it and try again")
        if not is_ours() and _is_provisioned():
            return
        _execute(program, os.path.realpath(sys.executable))
    elif _is_provisioned():
        return
    if not is_current(locks):
        _refuse_old_python(program)
        from xtask.environment import make

        signal.signal(signal.SIGINT, signal.default_int_handler)  # it has something to say about that
        make(program, locks)
        os.environ[_MADE_BY] = str(os.getpid())
    _execute(program, VENV_PYTHON)


def is_current(locks: "tuple[str, ...]") -> bool:
    """Does `.venv` hold what the lock files ask for now, made here, by the Python that it still points to?"""
    return os.path.exists(VENV_PYTHON) and all(read_stamp(lock) == stamp_content(lock) for lock in locks)


def is_ours() -> bool:
    return os.path.exists(marker_path())


def marker_path() -> str:
    """Present from the first moment on in a `.venv` that is ours to remake."""
    return os.path.join(VENV, "made-by-xtask")


def stamp_path(lock: str) -> str:
    return os.path.join(VENV, "installed-" + lock)


def stamp_content(lock: str) -> bytes:
    machine = os.uname().machine
    interpreter = os.path.realpath(VENV_PYTHON)
    header = f"layout {LAYOUT}\ncheckout {ROOT}\ninterpreter {interpreter}\nplatform {sys.platform} {machine}\n"
    with open(os.path.join(ROOT, lock), "rb") as file:
        return os.fsencode(header) + file.read()


def read_stamp(lock: str) -> "bytes | None":
    try:
        with open(stamp_path(lock), "rb") as file:
            return file.read()
    except OSError:
        return None


def _is_checkout() -> bool:
    return os.path.exists(os.path.join(ROOT, RUNTIME_LOCKS[0]))


def _inside_venv() -> bool:
    if sys.prefix == VENV:
        return True
    # The same place by another name: a symbolic link on the way to the checkout.
    return os.path.basename(sys.prefix) == ".venv" and os.path.realpath(sys.prefix) == os.path.realpath(VENV)


def _is_provisioned() -> bool:
    # The first entry is `python -m`'s own: the current directory.
    if ROOT not in sys.path[1:]:
        return False
    from importlib.util import find_spec

    return all(find_spec(name) for name in _IMPORTED_PACKAGES)


def _execute(program: str, python: str) -> None:
    for variable in _FOREIGN_VARIABLES:
        os.environ.pop(variable, None)
    # orig_argv (3.10) keeps the interpreter's own options, such as -W error.
    arguments = getattr(sys, "orig_argv", [sys.executable, "-m", program, *sys.argv[1:]])[1:]
    try:
        os.execv(python, [python, *arguments])
    except OSError as error:
        sys.exit(f"{program}: cannot run {python}: {error.strerror}; remove {VENV} and try again")


def _refuse_old_python(program: str) -> None:
    if sys.platform not in ("linux", "darwin"):
        sys.exit(f"{program}: {sys.platform} is not supported: use Linux, macOS or, on Windows, WSL 2")
    if sys.version_info >= (3, 11) and sys.implementation.name == "cpython":
        return
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.implementation.name != "cpython":
        found += " of " + sys.implementation.name
    newer = _newer_python()
    advice = "run" if newer else "install one (https://www.python.org/downloads/), then run"
    command = " ".join([newer or "python3.13", "-m", program, *sys.argv[1:]])
    sys.exit(f"{program}: Python 3.11 or newer is needed, found {found} ({sys.executable}); {advice}: {command}")


def _newer_python() -> "str | None":
    """A command on PATH that runs a Python which is new enough. Tried out, for a version manager's shim may not run."""
    import shutil
    import subprocess

    check = "import sys; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != 'cpython')"
    for name in [f"python3.{minor}" for minor in (15, 14, 13, 12, 11)] + ["python3"]:
        path = shutil.which(name)
        null = subprocess.DEVNULL
        if path and subprocess.call([path, "-c", check], stdin=null, stdout=null, stderr=null) == 0:
            return name
    return None
