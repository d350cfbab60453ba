"""Template clusters: initdb and the schema done once, then copied, so that a start takes milliseconds.

    CACHE/templates/KEY/data              a stopped cluster with the database and its schema
    CACHE/templates/KEY/spare-BOOT        a copy of it made beforehand, which a start claims with one rename
    CACHE/templates.lock                  exclusive to build and to remove, shared to copy

KEY covers all that went into the cluster, so nothing is ever out of date: another version, or an edited schema, is
another key, and all but the latest few are removed. A directory gets its final name only when it is complete and
synced, so a power cut leaves no template that looks whole. A spare is not synced: its name tells the boot in which it
was made, and no other boot uses it. Nothing is hardlinked: Postgres writes in place.

All of it blocks: the caller is a worker thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simstack.account import Account, make_owned_directory, make_passage, run_tool, spawn
from simstack.errors import PostgresError
from simstack.locks import LockMode, flocked
from simstack.process_identity import boot_id

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from simstack.binaries import PostgresBinaries

SUPERUSER = "root"
DATABASE = "omicron"

INITDB_ARGUMENTS = (
    *("--locale=C", "--encoding=UTF8", f"--username={SUPERUSER}", "--auth=trust"),
    *("-c", "timezone=UTC", "-c", "log_timezone=UTC"),
)
LAYOUT = 1
"""Raise it when templates are built differently from the same inputs."""

KEPT_TEMPLATES = 3
"""Two checkouts and a branch in work do not push each other out."""

BUILD_TIMEOUT_S = 120.0
SPARE_WORTH_S = 0.1
"""A copy quicker than this is not worth 46 MB of spare."""


@dataclass(frozen=True, slots=True)
class Provision:
    """How a data directory was filled."""

    source: str
    """`spare`, `template` or `initdb`."""
    spare_is_worthwhile: bool


@dataclass(frozen=True, slots=True)
class Schema:
    """SQL files, read once so that key and content agree; each is applied in one transaction, in this order."""

    files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Schema:
        return cls(tuple((path.name, path.read_text(encoding="utf-8")) for path in paths))


class ClusterSource:
    """Fills data directories with a cluster of one version and schema, from the cheapest source there is."""

    def __init__(
        self, *, binaries: PostgresBinaries, schema: Schema, account: Account | None, cache: Path | None
    ) -> None:
        self._binaries = binaries
        self._schema = schema
        self._account = account
        self._cache = cache

    @property
    def key(self) -> str:
        made_of = [LAYOUT, self._binaries.version, platform.machine(), INITDB_ARGUMENTS, DATABASE, self._schema.files]
        owner = -1 if self._account is None else self._account.uid
        return hashlib.sha256(json.dumps([*made_of, owner]).encode()).hexdigest()[:20]

    def provide(self, data: Path) -> Provision:
        """Make `data`, a path that must not exist, a stopped cluster; its parent may belong to somebody else.

        Raises PostgresError when not even initdb works.
        """
        if self._cache is not None:
            try:
                return self._from_cache(self._cache, data)
            except TimeoutError:
                pass
            except OSError:
                self.discard()
            # A read-only, full, broken or contended cache must not keep a stack from starting.
            shutil.rmtree(data, ignore_errors=True)
        return self.provide_anew(data)

    def provide_anew(self, data: Path) -> Provision:
        """The same by initdb, whatever is in the cache."""
        make_owned_directory(data, account=self._account)
        self._initialize(data)
        return Provision("initdb", spare_is_worthwhile=False)

    def discard(self) -> None:
        """Forget the template and its spare: no server starts from a copy of them."""
        if self._cache is not None:
            with suppress(OSError), self._locked(self._cache, LockMode.EXCLUSIVE):
                shutil.rmtree(self._home(self._cache), ignore_errors=True)

    def refill_spare(self, stop: threading.Event) -> bool:
        """Make the spare of the next start, unless there is one. False when `stop` came first or it cannot be made."""
        if self._cache is None:
            return False
        home = self._home(self._cache)
        spare = home / self._spare_name()
        partial = home / "spare.partial"
        with (
            suppress(OSError, PostgresError),
            self._locked(self._cache, LockMode.SHARED),
            flocked(home / "spare.lock", LockMode.EXCLUSIVE, timeout_s=0),
        ):
            for leftover in home.glob("spare*"):
                if leftover not in (spare, home / "spare.lock"):
                    shutil.rmtree(leftover, ignore_errors=True)
            if not spare.exists() and self._copy(home / "data", partial, stop=stop):
                partial.rename(spare)
            return spare.exists()
        return False

    def _from_cache(self, cache: Path, data: Path) -> Provision:
        home = self._home(cache)
        while True:
            with self._locked(cache, LockMode.SHARED):
                with suppress(OSError):  # there is no spare, or it is on another file system
                    os.rename(home / self._spare_name(), data)
                    return Provision("spare", spare_is_worthwhile=True)
                if home.exists():
                    os.utime(home)  # what was used lately is kept
                    started = time.monotonic()
                    self._copy(home / "data", data)
                    worthwhile = time.monotonic() - started > SPARE_WORTH_S and _same_file_system(home, data)
                    return Provision("template", worthwhile)
            with self._locked(cache, LockMode.EXCLUSIVE):
                if not home.exists():
                    self._build(home)
                    _purge(home.parent)

    def _build(self, home: Path) -> None:
        if not home.parent.exists():
            make_passage(home.parent, account=self._account)
        partial = home.with_name(f"{home.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        make_passage(partial, account=self._account)
        make_owned_directory(partial / "data", account=self._account)
        self._initialize(partial / "data")
        run_tool([self._binaries.initdb, "--sync-only", "-D", str(partial / "data")], account=self._account)
        partial.rename(home)

    def _initialize(self, data: Path) -> None:
        """initdb, the database, the schema: without a server, so without a port or a client."""
        run_tool(
            [self._binaries.initdb, "-D", str(data), "--no-sync", *INITDB_ARGUMENTS],
            account=self._account,
        )
        self._single_user(data, "postgres", f"CREATE DATABASE {DATABASE}")
        for name, text in self._schema.files:
            try:
                self._single_user(data, DATABASE, text)
            except PostgresError as exc:
                raise PostgresError(f"schema file {name}: {exc}") from None

    def _single_user(self, data: Path, database: str, text: str) -> None:
        """Run `text` as one query string: several statements are one transaction, as over the wire.

        With -j the single-user backend reads up to a semicolon followed by an empty line, so a space goes behind every
        semicolon that ends a line but the last.
        """
        options = ("-c", "exit_on_error=on", "-c", "fsync=off", "-c", "log_checkpoints=off")
        run_tool(
            [self._binaries.postgres, "--single", "-j", "-D", str(data), *options, database],
            account=self._account,
            input_text=text.replace("\r\n", "\n").replace(";\n", "; \n").rstrip() + "\n;\n\n",
        )

    def _copy(self, source: Path, target: Path, *, stop: threading.Event | None = None) -> bool:
        """Copy a cluster as its owner; False, with nothing left behind, when `stop` was set first."""
        make_owned_directory(target, account=self._account)
        argv = ["cp", "-R", f"{source}/.", str(target)]
        process = spawn(argv, account=self._account, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL)
        try:
            while stop is not None and process.poll() is None and not stop.wait(0.01):
                pass
            if process.poll() is None and stop is not None:
                process.kill()
            copied = process.wait() == 0 and not (stop is not None and stop.is_set())
        except BaseException:
            process.kill()
            process.wait()
            raise
        if not copied:
            shutil.rmtree(target, ignore_errors=True)
            if stop is None or not stop.is_set():
                raise OSError(f"cp -R {source} {target} failed")
        return copied

    def _home(self, cache: Path) -> Path:
        return cache / "templates" / self.key

    def _spare_name(self) -> str:
        return f"spare-{hashlib.sha256(boot_id().encode()).hexdigest()[:12]}"

    def _locked(self, cache: Path, mode: LockMode) -> AbstractContextManager[None]:
        return flocked(cache / "templates.lock", mode, timeout_s=BUILD_TIMEOUT_S)


def _same_file_system(first: Path, second: Path) -> bool:
    return first.stat().st_dev == second.stat().st_dev


def _purge(templates: Path) -> None:
    newest_first = sorted(templates.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[KEPT_TEMPLATES:]:
        shutil.rmtree(old, ignore_errors=True)
