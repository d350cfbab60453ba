"""Keeps the bytecode of our own packages fresh where Python itself may not write any (PYTHONDONTWRITEBYTECODE).

Compiling at each start would cost every process of ours 200 ms. Looking for what is stale takes 2-4 ms, so only those
who need it look. Standard library only, and little of it: this runs at the start of every such `xtask`.
"""

from __future__ import annotations

import os
import sys

PACKAGES = ("dropshot", "nexus", "omdb", "simstack", "xtask")


def compile_stale(root: str) -> int:
    """Compile the modules below `root` whose bytecode is missing or older than they are, and return how many.

    A module that does not compile is left to whoever imports it; so is everything if the directory cannot be written.
    """
    stale = stale_modules(root)
    if not stale:
        return 0
    import py_compile

    for source in stale:
        try:
            py_compile.compile(source, doraise=True)
        except py_compile.PyCompileError:
            continue
        except OSError:
            break
    return len(stale)


def stale_modules(root: str) -> list[str]:
    """Paths of the modules that `compile_stale` would compile."""
    stale: list[str] = []
    if sys.pycache_prefix is not None:
        return stale  # bytecode is kept elsewhere, by the user's own choice
    directories = [os.path.join(root, package) for package in PACKAGES]
    while directories:
        directory = directories.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    if not _is_fresh(entry, directory):
                        stale.append(entry.path)
                elif entry.name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
    return stale


def _is_fresh(source: os.DirEntry[str], directory: str) -> bool:
    """Does the header of the bytecode name the source's time and size? (Magic number, flags, mtime, size; PEP 552.)"""
    bytecode = f"{directory}/__pycache__/{source.name[:-3]}.{sys.implementation.cache_tag}.pyc"
    try:
        descriptor = os.open(bytecode, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    header = os.read(descriptor, 16)
    os.close(descriptor)
    status = source.stat()
    recorded = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return recorded == (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
