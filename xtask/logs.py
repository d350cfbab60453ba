"""`xtask omicron-dev logs`: the log files of a stack as lines for a person."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simstack.facts import StackFacts

POLL_S = 0.1
"""How often `--follow` looks for more."""

POSTGRES_STAMP = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3}) UTC ")

SHORTEST_ID = 4
"""Characters of a Nexus' id that stand for it."""

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

    With `follow` it goes on until the stack has ended or it is interrupted. Raises LogNotFound.
    """
    tails = [_Tail(name, path) for name, path in _select(facts, service).items()]
    prefix_width = max(len(tail.name) for tail in tails) if len(tails) > 1 else 0
    while True:
        is_over = not Path(facts.log).exists()
        entries = sorted((entry for tail in tails for entry in tail.new_entries()), key=lambda entry: entry.time)
        for entry in entries:
            prefix = f"{entry.service:<{prefix_width}}  " if prefix_width else ""
            sys.stdout.writelines(f"{prefix}{line}\n" for line in entry.lines)
        sys.stdout.flush()
        if is_over or not follow:
            return
        time.sleep(POLL_S)


def _select(facts: StackFacts, service: str | None) -> dict[str, Path]:
    files = log_files(facts)
    if service is None:
        return files
    if service.startswith(("internal DNS", "external DNS")):
        wanted = "stack"  # the launcher serves them
    elif service.isdigit():
        wanted = f"nexus{service}"
    else:
        ids = {str(nexus.id): f"nexus{number}" for number, nexus in enumerate(facts.nexuses, 1)}
        of_id = [name for nexus_id, name in ids.items() if len(service) >= SHORTEST_ID and nexus_id.startswith(service)]
        wanted = of_id[0] if len(of_id) == 1 else service
    if wanted not in files:
        raise LogNotFound(f"no service {service!r} in stack {facts.name}: it has {', '.join(files)}")
    return {wanted: files[wanted]}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One record: `time` is UTC, as text that sorts."""

    time: str
    service: str
    lines: list[str]


class _Tail:
    """What has been added to a file since the last look, whole lines only."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._offset = 0
        self._last_time = ""

    def new_entries(self) -> Iterator[_Entry]:
        """A line without a time of its own goes with the one before it."""
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
                if (stamp := POSTGRES_STAMP.match(line)) is not None:
                    self._last_time = f"{stamp[1]}T{stamp[2]}000Z"
            yield _Entry(self._last_time, self.name, text.split("\n"))


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
