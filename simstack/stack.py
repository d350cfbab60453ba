"""The simulated stack: Postgres, DNS, gateways and Nexuses, brought up together and taken down in reverse.

    async with open_stack(NexusOptions(count=2)) as stack:
        print(stack.facts.nexuses[0].internal_address)

Start-up is a graph. Each service is a task that awaits what it needs as a `Promise`:

    plan ─┬─ postgres ──────────────────────────────────────────────┐
          ├─ Nexus processes ── their addresses ─┐                  │
          ├─ internal DNS ───────────────────────┼─ generation 1 ─ hand-off ─ every Nexus ready ─ up
          ├─ external DNS ───────────────────────┤
          └─ gateways ───────────────────────────┘

Three nurseries, one inside the other, own the tasks: Postgres outermost, then the servers of this process, then the
Nexus processes; leaving cancels them from the inside out. A service whose end means the end of the stack raises
SimstackError; a Nexus may die, and the rest goes on.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from simstack import rack_setup
from simstack.control import SOCKET_NAME, serve_control
from simstack.control_verbs import control_verbs
from simstack.directory import JOURNAL_NAME, stack_directory, stacks_root
from simstack.errors import SimstackError
from simstack.facts import StackFacts, StackStatus
from simstack.launched_nexus import LaunchedNexus
from simstack.loopback import reserved_ports
from simstack.progress import Progress, Silent
from simstack.shipped import config_file
from simstack.sled_agent import SledAgent
from simstack.stack_plan import NexusOptions, plan_stack
from simstack.startup import POSTGRES, Startup
from simstack.sweep import sweep
from simstack.watchdog import watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from simstack.gateway.sp_sim import SpSimConfig
    from simstack.stack_plan import ReservePort, StackPlan

__all__ = ["LaunchedNexus", "NexusOptions", "SimstackError", "Stack", "open_stack"]

START_TIMEOUT_S = 120.0
"""How long the stack may take to come up. Upstream gives each step 600 s; a first start here makes a template."""

PAUSED = "SIGSTOP; `nexus resume` lets it go on"
PAUSED_AND_EXPUNGED = "SIGSTOP; it is expunged: `nexus stop` ends it"

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
"""A stack's name is a directory, and part of the address of a unix socket, which has room for 103 bytes."""


@asynccontextmanager
async def open_stack(
    nexuses: NexusOptions | None = None,
    *,
    gateway_config: Path | None = None,
    name: str | None = None,
    keep_logs: bool = False,
    postgres_settings: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> AsyncIterator[Stack]:
    """Bring a stack up, yield it when every address of its facts answers, take it down.

    Args:
        nexuses: which Nexuses it has (default: one, as `configs/config.toml` says).
        gateway_config: the simulated service processors of both gateways (default: `configs/sp-sim.toml`).
        name: what `omicron-dev status --name` calls it (default: this process's id).
        keep_logs: leave the log files behind. They also stay after an error; `progress` is told where.
        postgres_settings: more server settings, such as `default_transaction_isolation`.

    Raises SimstackError when it cannot come up, or when the database dies under it. What the body raises comes out as
    it was raised. Nothing but logs is left behind.
    """
    if name is not None and NAME_PATTERN.fullmatch(name) is None:
        raise SimstackError(f"{name!r} is no name for a stack: expected up to 31 of a-z, 0-9 and -")
    with reserved_ports() as reserve_port:
        plan = plan_stack(nexuses or NexusOptions(), reserve_port)
        # A user's file is refused before anything is started for it; our own is read when it is needed.
        sp_sim = _load_sp_sim(gateway_config) if gateway_config is not None else None
        async with _open_planned(
            plan,
            reserve_port,
            sp_sim,
            name=name,
            keep_logs=keep_logs,
            postgres_settings=postgres_settings or {},
            progress=progress or Silent(),
        ) as stack:
            yield stack


@asynccontextmanager
async def _open_planned(
    plan: StackPlan,
    reserve_port: ReservePort,
    sp_sim: SpSimConfig | None,
    *,
    name: str | None,
    keep_logs: bool,
    postgres_settings: Mapping[str, str],
    progress: Progress,
) -> AsyncIterator[Stack]:
    root = stacks_root()
    name = name or _unused_name(root)
    await trio.to_thread.run_sync(sweep, root)
    with stack_directory(root, name=name, keep=keep_logs) as directory, watching(directory) as watchdog:
        startup = Startup(plan, directory.path, watchdog, progress, reserve_port=reserve_port)
        startup.announce()
        body_error: Exception | None = None
        try:
            async with trio.open_nursery() as database_nursery:
                database_nursery.start_soon(watchdog.keep_running)
                database_nursery.start_soon(startup.run_database, postgres_settings)
                async with trio.open_nursery() as server_nursery:
                    async with trio.open_nursery() as nexus_nursery:
                        with _start_deadline(startup):
                            facts = await _come_up(
                                startup,
                                server_nursery,
                                nexus_nursery,
                                load_sp_sim=lambda: sp_sim or _load_sp_sim(config_file("sp-sim.toml")),
                            )
                        stack = Stack(startup, facts)
                        control_path = directory.path / SOCKET_NAME
                        await server_nursery.start(partial(serve_control, control_path, control_verbs(stack)))
                        server_nursery.start_soon((await startup.database.get()).refill_spare)
                        sled_agent = SledAgent(startup.fleet, progress, database_url=facts.database.url)
                        nexus_nursery.start_soon(sled_agent.run)
                        try:
                            yield stack
                        except Exception as exc:
                            body_error = exc
                        nexus_nursery.cancel_scope.cancel()
                    server_nursery.cancel_scope.cancel()
                database_nursery.cancel_scope.cancel()
        except Exception as exc:
            directory.keep = True
            failures = list(_failures(exc))
            if failures:
                raise SimstackError("; ".join(dict.fromkeys(map(str, failures)))) from exc
            raise
        finally:
            startup.close_logs()
            if directory.keep:
                watchdog.keep(directory.path)
                _remove_all_but_logs(directory.path)
                progress.note(f"logs are kept in {directory.path}")
    if body_error is not None:
        raise body_error


def _failures(error: BaseException) -> Iterator[SimstackError]:
    """Each SimstackError in a tree of exception groups that holds nothing else; none where it does."""
    if isinstance(error, BaseExceptionGroup):
        of_each = [list(_failures(member)) for member in error.exceptions]
        if all(of_each):
            for failures in of_each:
                yield from failures
    elif isinstance(error, SimstackError):
        yield error


def _load_sp_sim(path: Path) -> SpSimConfig:
    from simstack.gateway.model import SimulatedHardware
    from simstack.gateway.sp_sim import load_sp_sim

    config = load_sp_sim(path)
    for slot in rack_setup.SWITCH_SLOTS:
        SimulatedHardware.new(config, switch_slot=slot)
    return config


def _unused_name(root: Path) -> str:
    """This process's id, unless the kept logs of an earlier process of that id have the name."""
    name = str(os.getpid())
    return f"{name}-{secrets.token_hex(2)}" if (root / name).exists() else name


async def _come_up(
    startup: Startup,
    server_nursery: trio.Nursery,
    nexus_nursery: trio.Nursery,
    *,
    load_sp_sim: Callable[[], SpSimConfig],
) -> StackFacts:
    """Start everything in the nurseries of the caller, in whose scope it all lives on."""
    # Processes first: they import in parallel to what this process imports for its own servers.
    await nexus_nursery.start(startup.fleet.run)
    server_nursery.start_soon(startup.run_internal_dns)
    server_nursery.start_soon(startup.run_external_dns)
    sp_sim = load_sp_sim()
    for slot in rack_setup.SWITCH_SLOTS:
        server_nursery.start_soon(startup.run_gateway, slot, sp_sim)
    await startup.initialize_rack()
    return await startup.everything_ready()


@contextmanager
def _start_deadline(startup: Startup) -> Iterator[None]:
    with trio.move_on_after(START_TIMEOUT_S) as scope:
        yield
    if scope.cancelled_caught:
        awaited = ", ".join(f"{s.name} {s.detail}" for s in startup.board.statuses() if s.state == "starting")
        raise SimstackError(f"not up after {START_TIMEOUT_S:g} s: {awaited}")


def _remove_all_but_logs(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix not in (".log", ".lock") and path.name != JOURNAL_NAME:
            path.unlink(missing_ok=True)


class Stack:
    """A stack that is up."""

    def __init__(self, startup: Startup, facts: StackFacts) -> None:
        self._startup = startup
        self._facts_at_start = facts
        self._database_order = trio.Lock()
        self._since = time.monotonic()
        self._is_to_end = trio.Event()
        self._whoever_ends_it_waits = False

    @property
    def facts(self) -> StackFacts:
        """Where everything listens; `nexuses` are those launched so far, running or not."""
        nexuses = [nexus.facts() for nexus in self._startup.fleet.nexuses]
        return msgspec.structs.replace(self._facts_at_start, nexuses=nexuses)

    def nexus(self, which: int | str | None = None) -> LaunchedNexus:
        """A launched Nexus: to kill, pause, stop and so on. Raises SimstackError, which names those that there are.

        `which` is its number from 1, or its name, its id or the start of that; it may be left out where there is one.
        """
        return self._startup.fleet.find(None if which is None else str(which))

    async def add_nexus(self, *, next_generation: bool = False) -> LaunchedNexus:
        """One more, with an id of its own and on free ports, to be started.

        One of the next generation will be on standby until that is the active one and the others have made way.
        Raises SimstackError.
        """
        return await self._startup.fleet.add(next_generation=next_generation)

    async def stop_database(self) -> None:
        """Stop Postgres in an orderly way and keep its data: an outage that was asked for."""
        cluster = await self._startup.database.get()
        async with self._database_order:
            if cluster.pid is not None:
                await cluster.stop()
                self._startup.board.ended(POSTGRES, "stopped", "by `db stop`; `db start` starts it again")

    async def start_database(self) -> None:
        """Start it again, on the same port with the same data. Raises SimstackError; it is then still stopped."""
        cluster = await self._startup.database.get()
        async with self._database_order:
            await cluster.start()
            assert cluster.pid is not None, "start() returns when the server runs"
            self._startup.board.is_up(POSTGRES, cluster.address, pid=cluster.pid)

    def status(self) -> StackStatus:
        paused = {
            nexus.name: PAUSED_AND_EXPUNGED if nexus.is_expunged else PAUSED
            for nexus in self._startup.fleet.nexuses
            if nexus.is_paused
        }
        services = [
            msgspec.structs.replace(service, state="paused", detail=paused[service.name])
            if service.name in paused
            else service
            for service in self._startup.board.statuses()
        ]
        return StackStatus(self.facts, time.monotonic() - self._since, services)

    async def until_down(self) -> None:
        """Return when somebody has asked for the end of this stack (`omicron-dev down`): for who then leaves it."""
        self._whoever_ends_it_waits = True
        try:
            await self._is_to_end.wait()
        finally:
            self._whoever_ends_it_waits = False

    def take_down(self) -> None:
        """Let `until_down` return. Raises SimstackError where nobody waits for it."""
        if not self._whoever_ends_it_waits:
            raise SimstackError(
                f"stack {self.facts.name} belongs to a program that ends it by itself (pid {self.facts.pid})"
            )
        self._is_to_end.set()
