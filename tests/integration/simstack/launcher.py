"""A launcher for tests to kill: Postgres, one child, the watchdog. Prints what it started as one line of JSON.

usage: launcher.py [--bare] [--no-ipv6] [--as ACCOUNT]

It then waits for a line on standard input (or its end) and cleans up, so closing the pipe ends it in an orderly way.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import struct
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import trio

from simstack.cluster_config import ClusterConfig
from simstack.directory import stack_directory, stacks_root
from simstack.postgres import open_postgres
from simstack.process import ChildSpec, run_child
from simstack.watchdog import watching

STUBBORN_CHILD = "trap '' TERM; while :; do sleep 1000; done"


async def main(*, with_postgres: bool) -> None:
    with stack_directory(stacks_root()) as directory, watching(directory) as watchdog:
        facts: dict[str, object] = {"directory": str(directory.path), "launcher": os.getpid()}
        async with AsyncExitStack() as stack:
            if with_postgres:
                config = ClusterConfig(directory=directory.path / "postgres", log_path=directory.path / "postgres.log")
                cluster = await stack.enter_async_context(open_postgres(config, watchdog=watchdog))
                facts |= {"postgres": cluster.pid, "url": cluster.url}
            async with trio.open_nursery() as nursery:
                spec = ChildSpec(
                    name="child",
                    argv=("/bin/sh", "-c", STUBBORN_CHILD, "child", str(directory.path)),
                    env=dict(os.environ),
                    cwd=directory.path,
                    log_path=directory.path / "child.log",
                )
                child = await nursery.start(
                    partial(run_child, spec, socket_directory=directory.path, watchdog=watchdog, grace_s=0.1)
                )
                print(json.dumps({**facts, "child": child.pid}), flush=True)
                await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
                nursery.cancel_scope.cancel()


def turn_ipv6_off() -> None:
    """In a network namespace of its own, which starts with everything down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")


def become(account: str) -> None:
    """Not in a new interpreter: root's may be closed to others, and so is what has not been imported by then."""
    import simstack.cluster  # noqa: F401  (open_postgres imports it late)

    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    if "--as" in sys.argv:
        become(sys.argv[sys.argv.index("--as") + 1])
    if "--no-ipv6" in sys.argv:
        turn_ipv6_off()
    trio.run(partial(main, with_postgres="--bare" not in sys.argv))
