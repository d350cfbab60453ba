"""The account that Postgres runs under: our own, or `nobody` where we are root, as which Postgres refuses to run."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simstack.errors import PostgresError

if TYPE_CHECKING:
    from collections.abc import Sequence

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """An account that root switches to for one child process."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account to switch to, or None where we are not root and run Postgres as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise PostgresError(
            f"Postgres does not run as root, and there is no account {UNPRIVILEGED!r} to run it as"
        ) from None
    return Account(UNPRIVILEGED, entry.pw_uid, entry.pw_gid)


def server_environment() -> dict[str, str]:
    """Our environment without what would steer Postgres or translate its messages."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def spawn(argv: Sequence[str], *, account: Account | None, stdin: int, output: int) -> subprocess.Popen[bytes]:
    """Start a child in its own session, in `/`, as `account`; standard error goes where standard output goes.

    Raises OSError as Popen does, and PostgresError where the system does not let us switch accounts.
    """
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=server_environment(),
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    except OSError as exc:
        if account is None or exc.errno not in (errno.EPERM, errno.EINVAL):
            raise
        raise PostgresError(
            f"Postgres does not run as root, and root may not run it as {account.name!r} here: {exc.strerror}"
        ) from exc


def run_tool(argv: Sequence[str], *, account: Account | None, input_text: str = "") -> str:
    """Run a short command to its end and return what it printed.

    Raises PostgresError with the line that says why when it fails, OSError when it cannot be started.
    """
    with spawn(argv, account=account, stdin=subprocess.PIPE, output=subprocess.PIPE) as process:
        output = process.communicate(input_text.encode())[0].decode(errors="replace")
    if process.returncode != 0:
        raise PostgresError(f"{Path(argv[0]).name} failed: {_complaint(output)}")
    return output


def _complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for severity in ("PANIC:", "FATAL:", "ERROR:", "error:"):
        for line in lines:
            if severity in line:
                return line[line.index(severity) + len(severity) :].strip()
    return lines[-1] if lines else "it printed nothing"


def make_owned_directory(path: Path, *, account: Account | None) -> None:
    """Make a directory for `account` alone."""
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def make_passage(path: Path, *, account: Account | None) -> None:
    """Make a directory of our own through which `account` can reach what it owns below."""
    path.mkdir(mode=0o700)
    if account is not None:
        path.chmod(0o711)


def is_reachable(directory: Path, *, account: Account | None) -> bool:
    """Whether `account` may pass through an existing directory and all those above it."""
    if account is None:
        return True
    resolved = directory.resolve()
    return all(stat.S_IMODE(step.stat().st_mode) & stat.S_IXOTH for step in (resolved, *resolved.parents))
