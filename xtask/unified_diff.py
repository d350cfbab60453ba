"""Applies unified diffs, strictly: what a hunk replaces must be in the file exactly once, wherever that is. Pure.

So a diff survives changes elsewhere in the file, needs no more context than makes its place unique, and is never
applied to a wrong one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class DoesNotApply(Exception):
    """With the path and the reason."""


def apply(diff: str, read: Callable[[str], str]) -> dict[str, str]:
    """The new text of every file that the diff changes, by its path. `read` tells the old one.

    Raises DoesNotApply.
    """
    changed: dict[str, str] = {}
    for path, old, new in _hunks(diff.splitlines()):
        text = changed.get(path) or read(path)
        places = f"\n{text}".count(f"\n{old}")
        if places != 1:
            raise DoesNotApply(f"{path}: {places} places, not one, for a hunk that begins with: {old.splitlines()[0]}")
        changed[path] = f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]
    if not changed:
        raise DoesNotApply("no hunk in it")
    return changed


def _hunks(lines: list[str]) -> list[tuple[str, str, str]]:
    """Path, old lines, new lines."""
    hunks: list[tuple[str, str, str]] = []
    path = ""
    for line in lines:
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        elif line.startswith("@@"):
            hunks.append((path, "", ""))
        elif hunks and path and line[:1] in (" ", "-", "+") and not line.startswith("--- a/"):
            _, old, new = hunks[-1]
            text = f"{line[1:]}\n"
            hunks[-1] = path, old + text * (line[0] != "+"), new + text * (line[0] != "-")
    return hunks
