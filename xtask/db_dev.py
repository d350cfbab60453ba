"""`xtask db-dev`: an ephemeral Postgres with the control plane's schema, and nothing else."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter, validators

from dropshot.release import RELEASE

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT = 32221

app = cyclopts.App(name="db-dev", version=RELEASE, help="Run an ephemeral database alone.")


@app.command
def run(
    *,
    listen_port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = DEFAULT_PORT,
    no_populate: bool = False,
) -> int:
    """Run Postgres until Ctrl-C; its data is temporary.

    Parameters
    ----------
    listen_port
        Where it listens on loopback; 0 is any free port.
    no_populate
        Leave the database empty instead of loading the schema.
    """
    from simstack.shipped import schema_files
    from xtask.launch import launch

    return launch("db-dev", partial(_main, listen_port, [] if no_populate else schema_files()))


async def _main(listen_port: int, schema: list[Path]) -> None:
    import trio

    from simstack.cluster_config import ClusterConfig
    from simstack.directory import stack_directory, stacks_root
    from simstack.errors import SimstackError
    from simstack.postgres import open_postgres
    from simstack.sweep import sweep
    from simstack.watchdog import watching

    root = stacks_root()
    await trio.to_thread.run_sync(sweep, root)
    with stack_directory(root, name=f"db-dev-{os.getpid()}") as directory, watching(directory) as watchdog:
        config = ClusterConfig(
            directory=directory.path / "pg",
            log_path=directory.path / "postgres.log",
            schema=schema,
            port=listen_port,
        )
        async with open_postgres(config, watchdog=watchdog) as cluster:
            pid = cluster.pid
            print(f"db-dev: temporary directory: {directory.path}")
            print(f"db-dev: postgres: child process: pid {pid}")
            print(f"db-dev: postgres: listening at: {cluster.url}")
            print(f"db-dev: postgres: {'populated' if schema else 'not populated'}", flush=True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watchdog.keep_running)
                status = await cluster.wait_exit()
                raise SimstackError(f"postgres (pid {pid}) {status}")
