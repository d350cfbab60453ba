"""One ephemeral Postgres server: testing.postgresql's class, with what a stack needs instead of what it has.

The base class knows IPv4, `postgres@…/test` and its own account only; it needs seconds where milliseconds do (it opens
connections to learn whether the server is up, and sleeps 0.1 s between) and it creates a database over pg8000. So here
every step is its own; what stays is the shape: `setup()`, `start()`, `terminate()`, `cleanup()`, `stop()`.

All of it blocks. `simstack.postgres` is what trio programs use; tests that are not async use `running_cluster`.
Importing this module takes 30 ms: import it in the worker thread that uses it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dropshot.address import SocketAddr
from simstack.account import Account, make_passage, server_account, spawn
from simstack.binaries import PostgresBinaries, find_binaries
from simstack.cache import cache_directory
from simstack.errors import DirectoryError, PortTaken, PostgresError
from simstack.exit_status import ExitStatus
from simstack.loopback import check_port, free_port, loopback_hosts
from simstack.server_settings import ENVIRONMENT_VARIABLE, parse_settings
from simstack.template import DATABASE, SUPERUSER, ClusterSource, Provision, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testing.postgresql import Postgresql  # type: ignore[import-untyped]

    from simstack.cluster_config import ClusterConfig
else:
    # pg8000 takes 120 ms to import, and only methods that are overridden below use it.
    stand_in = sys.modules.setdefault("pg8000", types.ModuleType("pg8000"))
    try:
        from testing.postgresql import Postgresql
    finally:
        if stand_in.__spec__ is None:
            del sys.modules["pg8000"]

POLL_S = 0.001
BOOT_TIMEOUT_S = 60.0
"""A server that was stopped at once replays its log first."""

INTERRUPT_GRACE_S = 1.0
"""SIGINT: roll back, checkpoint, exit."""
QUIT_GRACE_S = 0.5
"""SIGQUIT: exit at once; the data directory is good for another start."""
KILL_GRACE_S = 5.0
PORT_ATTEMPTS = 5
REMOVAL_TIMEOUT_S = 2.0
"""Children of a killed postmaster may still write files for a moment."""


class EphemeralPostgresql(Postgresql):  # type: ignore[misc]
    """A server on loopback: user `root`, no password, database `omicron` with the schema.

    One thread at a time calls its methods, but for `wait_for()`.
    """

    child_process: subprocess.Popen[bytes] | None

    def __init__(
        self, config: ClusterConfig, *, account: Account | None, binaries: PostgresBinaries, source: ClusterSource
    ) -> None:
        self.config = config
        self.account = account
        self.source = source
        self.hosts = loopback_hosts()
        self.provision: Provision | None = None
        self._ran = False
        self._directory_made = False
        super().__init__(
            auto_start=0,
            base_dir=str(config.directory),
            initdb=binaries.initdb,
            postgres=binaries.postgres,
            port=config.port or None,
        )

    @property
    def port(self) -> int:
        port: int = self.settings["port"]
        return port

    @property
    def address(self) -> SocketAddr:
        return SocketAddr(self.hosts[0], self.port)

    @property
    def data_directory(self) -> Path:
        return self.config.data_directory

    def get_data_directory(self) -> str:
        return str(self.data_directory)

    def dsn(self, **kwargs: Any) -> dict[str, Any]:
        return {"host": self.address.host, "port": self.port, "user": SUPERUSER, "database": DATABASE} | kwargs

    def url(self, **kwargs: Any) -> str:
        parts = self.dsn(**kwargs)
        address = SocketAddr(parts["host"], parts["port"])
        return f"postgresql://{parts['user']}@{address}/{parts['database']}?sslmode=disable"

    def setup(self) -> None:
        """Make the directory and fill it. Raises PostgresError or OSError; what was made is then removed."""
        try:
            make_passage(self.config.directory, account=self.account)
            self._directory_made = True
            self.initialize_database()
        except BaseException:
            self.cleanup()
            raise

    def initialize_database(self) -> None:
        self.provision = self.source.provide(self.data_directory)

    def initialize_anew(self) -> None:
        """Replace the data directory of a server that does not run by one that owes nothing to a template."""
        shutil.rmtree(self.data_directory)
        self.provision = self.source.provide_anew(self.data_directory)

    def prestart(self) -> None:
        if self.settings["port"] is None:
            self.settings["port"] = free_port(self.hosts)
        else:
            check_port(self.hosts, self.port)

    def start(self) -> None:
        """Return when the server answers on every loopback address.

        Raises PortTaken, or PostgresError with the reason from the server's log; the server is then not running.
        A port that was not asked for is chosen anew when somebody else was quicker.
        """
        for _ in range(PORT_ATTEMPTS - 1):
            try:
                return self._start_once()
            except PortTaken:
                if self.config.port or self._ran:
                    raise
                self.settings["port"] = None
        return self._start_once()

    def _start_once(self) -> None:
        assert self.child_process is None, "start() on a running server"
        self.prestart()
        with self.config.log_path.open("ab") as log:
            log_start = log.tell()
            try:
                self.child_process = spawn(
                    self.get_server_commandline(), account=self.account, stdin=subprocess.DEVNULL, output=log.fileno()
                )
            except OSError as exc:
                raise PostgresError(f"cannot start {self.postgres}: {exc.strerror}") from exc
        try:
            self.wait_booting()
            self._check_listening(log_start)
        except BaseException:
            self.terminate()
            raise
        self._ran = True

    def get_server_commandline(self) -> list[str]:
        durable = self.config.durability.value
        settings = {
            "listen_addresses": ",".join(self.hosts),
            "unix_socket_directories": "",
            "max_connections": "300",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",  # our own eyes read the log
            "logging_collector": "off",
            "log_destination": "stderr",
            "fsync": durable,
            "full_page_writes": durable,
            # Without it kill -9 of the postmaster loses commits that were acknowledged.
            "synchronous_commit": "on",
            # In the data directory, so that kill -9 leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            **parse_settings(os.environ.get(ENVIRONMENT_VARIABLE, "")),
            **self.config.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.postgres, "-D", str(self.data_directory), "-p", str(self.port), *options]

    def wait_booting(self) -> None:
        assert self.child_process is not None
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while not self.is_server_available():
            if self.child_process.poll() is not None:
                status = ExitStatus(self.child_process.returncode)
                raise PostgresError(f"postgres {status} while it started: {self._last_complaint()}")
            if time.monotonic() >= deadline:
                raise PostgresError(f"postgres is not ready after {BOOT_TIMEOUT_S:g} s: {self._last_complaint()}")
            time.sleep(POLL_S)

    def is_server_available(self) -> bool:
        """Whether our own postmaster, not one that left its file behind, says that it is ready."""
        try:
            lines = (self.data_directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.server_pid) and lines[7].strip() == "ready"

    def _check_listening(self, log_start: int) -> None:
        """An address that cannot be bound is a warning to Postgres, and whoever holds it would answer in its place.

        It logs each address that it did bind, before it is ready.
        """
        with self.config.log_path.open("rb") as log:
            log.seek(log_start)
            text = log.read().decode(errors="replace")
        bound = set(re.findall(rf'listening on IPv[46] address "([^"]+)", port {self.port}\b', text))
        for host in self.hosts:
            if host not in bound:
                raise PortTaken(f"Postgres could not listen on {SocketAddr(host, self.port)}")

    def poststart(self) -> None:
        """Nothing is left to do: the database came with the data directory."""

    @staticmethod
    def wait_for(process: subprocess.Popen[bytes]) -> ExitStatus:
        """Block until this postmaster has ended; any thread may, beside all else."""
        return ExitStatus(process.wait())

    def terminate(self, _signal: int | None = None, *, interrupt_grace_s: float = INTERRUPT_GRACE_S) -> None:
        """End the server, in stages that each have a deadline; the data directory stays. May be called twice."""
        process = self.child_process
        if process is None or self._owner_pid != os.getpid():
            return
        segment = self._shared_memory_id()
        stages = (
            (_signal or signal.SIGINT, interrupt_grace_s),
            (signal.SIGQUIT, QUIT_GRACE_S),
            (signal.SIGKILL, KILL_GRACE_S),
        )
        for stage, grace_s in stages:
            process.send_signal(stage)
            process.send_signal(signal.SIGCONT)  # it may have been stopped
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
                break
        if process.returncode == -signal.SIGKILL and segment is not None:
            _remove_shared_memory(segment)
        self.child_process = None

    def stop(self, _signal: int | None = None) -> None:
        self.terminate(_signal)
        self.cleanup()

    def cleanup(self) -> None:
        """Remove the directory, once: the base class calls this from `__del__` too, when the path may be another's.

        Does nothing while the server runs.
        """
        if self.child_process is not None or not self._directory_made or self._owner_pid != os.getpid():
            return
        deadline = time.monotonic() + REMOVAL_TIMEOUT_S
        while self.config.directory.exists():
            last_try = time.monotonic() >= deadline
            shutil.rmtree(self.config.directory, ignore_errors=not last_try)
            time.sleep(POLL_S)
        self._directory_made = False

    def _last_complaint(self) -> str:
        text = self.config.log_path.read_text(encoding="utf-8", errors="replace")
        complaints = [line for line in text.splitlines() if "FATAL:" in line or "PANIC:" in line]
        lines = complaints or text.splitlines() or ["its log is empty"]
        return lines[-1].rpartition(":  ")[2]

    def _shared_memory_id(self) -> str | None:
        with suppress(OSError, IndexError):
            lines = (self.data_directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return lines[6].split()[1]
        return None


def _remove_shared_memory(segment: str) -> None:
    """The interlock segment outlives a killed postmaster, and some systems have room for 32 of them."""
    with suppress(OSError):
        subprocess.run(
            ["ipcrm", "-m", segment],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def boot_cluster(config: ClusterConfig) -> EphemeralPostgresql:
    """Find the binaries, fill the directory, start the server.

    Raises PostgresError, PortTaken among them; nothing is left behind then.
    """
    try:
        return _boot(config)
    except OSError as exc:
        raise PostgresError(f"cannot start Postgres in {config.directory}: {exc}") from exc


def _boot(config: ClusterConfig) -> EphemeralPostgresql:
    account = server_account()
    cache: Path | None
    try:
        cache = cache_directory(account)
    except DirectoryError:
        cache = None  # every start costs an initdb then
    binaries = find_binaries(account=account, cache=cache)
    source = ClusterSource(binaries=binaries, schema=Schema.read(config.schema), account=account, cache=cache)
    server = EphemeralPostgresql(config, account=account, binaries=binaries, source=source)
    if config.port:
        check_port(server.hosts, config.port)  # before the work, not after it
    server.setup()
    try:
        try:
            server.start()
        except PortTaken:
            raise
        except PostgresError:
            if server.provision is None or server.provision.source == "initdb":
                raise
            # If it starts without the template, then somebody damaged that; else a setting is wrong.
            server.initialize_anew()
            server.start()
            source.discard()
    except BaseException:
        server.stop()
        raise
    return server


@contextmanager
def running_cluster(config: ClusterConfig) -> Iterator[EphemeralPostgresql]:
    """A server for a program without trio, such as a test session."""
    server = boot_cluster(config)
    try:
        yield server
    finally:
        server.stop()
