"""`xtask omicron-dev logs`: the log files of a stack as lines for a person."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simstack.facts import StackFacts

POLL_S = 0.1
"""How often `--follow` looks for more."""

LEVEL_NAMES = {10: "TRCE", 20: "DEBG", 30: "INFO", 40: "WARN", 50: "ERRO", 60: "CRIT"}
HEADER_KEYS = ("msg", "v", "level", "time", "hostname", "pid", "name")


class LogNotFound(Exception):
    """No such service in this stack; the message names those that there are."""


def log_files(facts: StackFacts) -> dict[str, Path]:
    """The log file of each service, by the name that `logs` takes."""
    nexuses = {f"nexus{number}": Path(nexus.log) for number, nexus in enumerate(facts.nexuses, 1)}
    gateways = {gateway.switch: Path(gateway.log) for gateway in facts.gateways}
    return {"stack": Path(facts.log), "postgres": Path(facts.database.log), **nexuses, **gateways}


def print_logs(facts: StackFacts, service: str | None, *, follow: bool) -> None:
    """Write the log of `service`, or of all merged by time, to stdout.

    Raises LogNotFound. With `follow` it returns only when interrupted.
    """
    tails = [_Tail(name, path) for name, path in _select(facts, service).items()]
    prefix_width = max(len(tail.name) for tail in tails) if len(tails) > 1 else 0
    while True:
        lines = sorted((line for tail in tails for line in tail.new_lines()), key=lambda line: line[0])
        for _, name, text in lines:
            sys.stdout.write(f"{name:<{prefix_width}}  {text}\n" if prefix_width else f"{text}\n")
        sys.stdout.flush()
        if not follow:
            return
        time.sleep(POLL_S)


def _select(facts: StackFacts, service: str | None) -> dict[str, Path]:
    files = log_files(facts)
    if service is None:
        return files
    wanted = f"nexus{service}" if service.isdigit() else service
    for number, nexus in enumerate(facts.nexuses, 1):
        if len(service) >= 4 and str(nexus.id).startswith(service):
            wanted = f"nexus{number}"
    if wanted not in files:
        raise LogNotFound(f"no service {service!r} in stack {facts.name}: it has {', '.join(files)}")
    return {wanted: files[wanted]}


class _Tail:
    """What has been added to a file since the last look, whole lines only."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._offset = 0
        self._last_time = ""

    def new_lines(self) -> Iterator[tuple[str, str, str]]:
        """Yields (time to sort by, name, text). A line that is not ours (Postgres') goes with the one before it."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            try:
                record = json.loads(line)
                self._last_time = record["time"]
                text = as_terminal_line(record)
            except (ValueError, KeyError, TypeError):
                text = line
            yield self._last_time, self.name, text


def as_terminal_line(record: dict[str, Any]) -> str:
    """One bunyan record in the form that a Nexus has on a terminal, with its time in UTC."""
    when = datetime.fromisoformat(record["time"])
    stamp = f"{when:%b %d %H:%M:%S}.{when.microsecond // 1000:03d}Z"
    fields = [str(record["msg"])]
    trailer = []
    own = [(key, value) for key, value in record.items() if key not in HEADER_KEYS]
    for key, value in [*own, ("name", record["name"])]:
        text = value if isinstance(value, str) else json.dumps(value)
        if "\n" in text:
            trailer += [f"    {key}:", *(f"    {line}" for line in text.rstrip("\n").split("\n"))]
        else:
            fields.append(f"{key}: {text}")
    return "\n".join([f"{stamp} {LEVEL_NAMES.get(record['level'], '????')} {', '.join(fields)}", *trailer])
