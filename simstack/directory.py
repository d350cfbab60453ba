"""Directories of stacks: one for each, in a directory for each user below the system's temporary one.

    /tmp/omicron-dev-1000/            ours alone; removed with the last stack
    /tmp/omicron-dev-1000/3f9a1c04/   a stack's, with its sockets, logs and data
        owner.lock                    locked by its launcher, and by its watchdog, for as long as either lives
        journal                       what the watchdog was told

Paths are short: the address of a unix socket has room for 103 bytes. As root they can be passed through by the account
that Postgres runs under, but not listed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simstack.account import Account, is_reachable, server_account
from simstack.errors import DirectoryError
from simstack.locks import try_flock

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "omicron-dev"
LOCK_NAME = "owner.lock"
JOURNAL_NAME = "journal"
REMOVAL_TIMEOUT_S = 2.0
ATTEMPTS = 100
"""Somebody else's last stack may end, and take the root along, just when we use it; not this often in a row."""


@dataclass(slots=True)
class StackDirectory:
    path: Path
    owner_lock: int
    """The descriptor that holds the lock."""
    keep: bool = False
    """Whether the directory, with the logs, is left behind. Who changes it tells the watchdog too."""

    @property
    def journal_path(self) -> Path:
        return self.path / JOURNAL_NAME


def stacks_root() -> Path:
    """Where this user's stacks are; it exists only while there are any.

    Raises DirectoryError when root's temporary directory is closed to the account that Postgres runs under.
    """
    account = server_account()
    candidates = [Path(tempfile.gettempdir()), Path("/tmp")]
    for parent in candidates:
        if parent.is_dir() and is_reachable(parent, account=account):
            return parent.resolve() / f"{NAME}-{os.geteuid()}"
    raise DirectoryError(f"{candidates[0]} is closed to other users: set TMPDIR to a directory that Postgres can reach")


@contextmanager
def stack_directory(root: Path, *, name: str | None = None, keep: bool = False) -> Iterator[StackDirectory]:
    """Make a stack's directory and own it; remove it at the end, unless `keep` is set by then.

    Raises DirectoryError when `name` is taken, or when `root` cannot be used or is not safe to use.
    """
    try:
        directory = _claim(root, name or secrets.token_hex(4), account=server_account())
    except OSError as exc:
        raise DirectoryError(f"cannot make a directory in {root}: {exc.strerror}") from exc
    directory.keep = keep
    try:
        yield directory
    finally:
        if directory.keep:
            # Without a lock it is nobody's to sweep.
            (directory.path / LOCK_NAME).unlink(missing_ok=True)
            directory.journal_path.unlink(missing_ok=True)
        else:
            _remove(directory.path)
            remove_root(root)
        os.close(directory.owner_lock)


@contextmanager
def locked_root(root: Path) -> Iterator[None]:
    """Hold the lock under which directories are made in `root`, which must exist, and found without an owner.

    Raises FileNotFoundError if it does not exist, or goes just then.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while not try_flock(fd):  # held for microseconds
            time.sleep(0.001)
        if os.stat(root, follow_symlinks=False).st_ino != os.fstat(fd).st_ino:
            raise FileNotFoundError(root)
        yield
    finally:
        os.close(fd)


def check_root(root: Path) -> None:
    """Raise DirectoryError unless `root`, which exists, is a directory that only we can change.

    The temporary directory is open to all: somebody else may have made it first.
    """
    status = os.lstat(root)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise DirectoryError(f"{root} is not a directory that only you can write to: remove it, or set TMPDIR")


def remove_root(root: Path) -> None:
    """Remove the root if there is no stack in it."""
    with suppress(OSError):
        root.rmdir()


def _claim(root: Path, name: str, *, account: Account | None) -> StackDirectory:
    mode = 0o700 if account is None else 0o711
    path = root / name
    for _ in range(ATTEMPTS):
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
            with suppress(FileNotFoundError):
                root.chmod(mode)
        with suppress(FileNotFoundError):
            check_root(root)
            with locked_root(root):
                try:
                    path.mkdir(mode=0o700)
                except FileExistsError:
                    raise DirectoryError(_why_taken(path)) from None
                path.chmod(mode)
                lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                assert try_flock(lock), "the lock of a new directory was held"
                return StackDirectory(path, lock)
    raise DirectoryError(f"{root} does not stay: something removes it")


def _why_taken(path: Path) -> str:
    if (path / LOCK_NAME).exists():
        return f"a stack named {path.name} is running already, in {path}"
    return f"{path} exists: the logs of a stack of that name were kept; remove them first"


def _remove(path: Path) -> None:
    """What just ended may still write for a moment."""
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while path.exists():
        last_try = time.monotonic() >= deadline
        shutil.rmtree(path, ignore_errors=not last_try)
        if path.exists():
            time.sleep(0.01)
