"""Sweep: remove what stacks left behind whose launcher and watchdog both died (a power cut, an out-of-memory kill).

A directory whose `owner.lock` nobody holds is a dead stack's. Its journal says what it had started; a process is ended
only if it is still the one that was recorded. What was kept on purpose has no `owner.lock` and is left alone.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simstack.directory import JOURNAL_NAME, LOCK_NAME, check_root, locked_root, remove_root
from simstack.locks import try_flock
from simstack.watchdog import clean_up_after

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What became of each directory; the ones of running stacks are in none of these."""

    removed: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    """Their launcher was to keep them: what ran is ended, the files stay."""
    failed: tuple[Path, ...] = ()
    """Something in them could not be removed; the next sweep tries again."""


@dataclass(frozen=True, slots=True)
class _DeadStack:
    path: Path
    lock: int


def sweep(root: Path) -> SweepReport:
    """Clean up after every dead stack in `root`. Blocks, for seconds if a process of one still runs.

    Raises DirectoryError when `root` is not safe to use.
    """
    removed: list[Path] = []
    kept: list[Path] = []
    failed: list[Path] = []
    for stack in _take_over(root):
        try:
            journal = stack.path / JOURNAL_NAME
            keep = False
            if journal.exists():
                keep = _is_to_be_kept(stack.path, journal)
                clean_up_after(journal)
            if keep:
                (stack.path / LOCK_NAME).unlink()
                kept.append(stack.path)
                continue
            shutil.rmtree(stack.path, ignore_errors=True)
            (failed if stack.path.exists() else removed).append(stack.path)
        finally:
            os.close(stack.lock)
    remove_root(root)
    return SweepReport(tuple(removed), tuple(kept), tuple(failed))


def _is_to_be_kept(path: Path, journal: Path) -> bool:
    verbs = [line.partition(" ")[0] for line in journal.read_text("utf-8").splitlines() if line.endswith(f" {path}")]
    return not verbs or "keep" in verbs


def _take_over(root: Path) -> list[_DeadStack]:
    """Lock every directory that nobody holds, so that no other sweep, and no new stack, takes it."""
    taken: list[_DeadStack] = []
    with suppress(FileNotFoundError):
        check_root(root)
        with locked_root(root):
            for path in sorted(root.iterdir()):
                try:
                    lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                except OSError:
                    with suppress(OSError):
                        path.rmdir()  # its maker died before it had made the lock; anything else is not empty
                    continue
                if try_flock(lock):
                    taken.append(_DeadStack(path, lock))
                else:
                    os.close(lock)
    return taken
