"""Which process listens on a TCP port, where that can be known: Linux, and processes we may look into."""

from __future__ import annotations

from pathlib import Path

_LISTEN = "0A"


def describe_holder(port: int) -> str | None:
    """`pid 4711, python -m nexus config.toml`, or None if it cannot be told."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening_inodes(table, port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir())
            if held:
                command = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
                return f"pid {process.name}, {command.decode(errors='backslashreplace')}"
        except OSError:  # gone, or another user's
            continue
    return None


def _listening_inodes(table: str, port: int) -> list[str]:
    try:
        lines = Path("/proc/net", table).read_text().splitlines()[1:]
    except OSError:
        return []
    rows = (line.split() for line in lines)
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]
