"""The cache directory: what a start makes once and later starts use again (template clusters, copied binaries).

One for each user, below `$XDG_CACHE_HOME` or `~/.cache` where the server's account can reach it; root's home usually
cannot be reached, so root's is in the system's cache directory.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from simstack.account import Account, is_reachable
from simstack.errors import DirectoryError

NAME = "omicron-dev"


def cache_directory(account: Account | None) -> Path:
    """The first candidate that is ours (or can be made) and that `account` can reach.

    Raises DirectoryError when there is none.
    """
    for parent in _candidates(account):
        directory = parent / (NAME if parent != Path(tempfile.gettempdir()) else f"{NAME}-cache-{os.geteuid()}")
        try:
            parent.mkdir(mode=0o700 if account is None else 0o755, parents=True, exist_ok=True)
            if not is_reachable(parent, account=account):
                continue
            directory.mkdir(mode=0o700, exist_ok=True)
            if not _is_ours(directory):
                continue
            if account is not None:
                directory.chmod(0o711)
            if os.access(directory, os.W_OK):
                return directory
        except OSError:
            continue
    raise DirectoryError("no cache directory can be made: set XDG_CACHE_HOME to a directory of your own")


def _candidates(account: Account | None) -> list[Path]:
    configured = os.environ.get("XDG_CACHE_HOME", "")
    candidates = [Path(configured)] if os.path.isabs(configured) else []
    if account is None:
        candidates.append(Path(os.path.expanduser("~")) / ".cache")
    elif sys.platform == "darwin":
        candidates.append(Path("/Library/Caches"))
    else:
        candidates.append(Path("/var/cache"))
    return [*candidates, Path(tempfile.gettempdir())]


def _is_ours(directory: Path) -> bool:
    status = os.lstat(directory)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022 and not directory.is_symlink()
