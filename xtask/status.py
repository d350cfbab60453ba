"""`xtask omicron-dev status`: what the launcher says runs, and what it answers when asked."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

import msgspec
import psycopg
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dropshot.address import SocketAddr
from nexus.api.quiesce_types import (
    DrainingDb,
    DrainingSagas,
    NotQuiescing,
    Quiesced,
    RecordingQuiesce,
    Undetermined,
)
from nexus.clients.nexus import UnexpectedAnswer
from simstack.facts import ServiceStatus, StackStatus
from xtask.nexus_probe import PROBE_TIMEOUT_S, ask_nexus, http_get

if TYPE_CHECKING:
    from nexus.api.quiesce_types import QuiesceStatus

OUTCOMES_LIMIT = 10_000
"""Of how many done sagas the logs are looked at, the newest ones: after a day of load there may be millions."""

COUNT_OUTCOMES = """
SELECT count(*) FILTER (WHERE NOT stuck), count(*) FILTER (WHERE stuck) FROM (
    SELECT bool_or(event_type = 'undo_failed') AS stuck
    FROM (SELECT id FROM saga WHERE saga_state = 'done' ORDER BY time_created DESC LIMIT %s) AS done
    JOIN saga_node_event ON saga_id = id AND event_type IN ('failed', 'undo_failed')
    GROUP BY id) AS unsuccessful
"""

NEVER_CUT = 10_000
"""Columns: rich would cut addresses to fit a narrow terminal, where wrapping them loses nothing."""

ROOT_NS_QUERY = bytes.fromhex("5359 0000 0001 0000 0000 0000 00 0002 0001")
"""`. NS`: a name in no served zone, which our servers answer all the same."""

Health: TypeAlias = Literal[
    "answers", "silent", "starting", "standby", "paused", "stopped", "killed", "expunged", "down"
]
HEALTH_STYLES: dict[Health, str] = {
    "answers": "green",
    "silent": "red",
    "starting": "yellow",
    "standby": "green",
    "paused": "yellow",
    "stopped": "yellow",
    "killed": "yellow",
    "expunged": "yellow",
    "down": "red",
}


class ServiceHealth(msgspec.Struct, frozen=True):
    """A service, and what came of connecting to it, or else why nobody tried.

    A Nexus on `standby` waits for the handoff, which is as it is to be. It is `starting`, `paused`, `stopped` or
    `killed` because somebody asked for that, `down` if it ended by itself; but `expunged`, however it has ended, if its
    zone is, which is as it is to be, too. `detail` of one that answers says why it makes no new sagas, if it does not.
    """

    name: str
    health: Health
    state: str
    address: str
    pid: int
    uptime_s: float
    detail: str


class SagaOutcomes(msgspec.Struct, frozen=True):
    """How done sagas have ended, unless they have succeeded. Of the newest OUTCOMES_LIMIT."""

    failed: int
    stuck: int


class Examined(msgspec.Struct, frozen=True):
    """`sagas` counts the rows of the table `saga` by state. It and `outcomes` are null when the database does not
    answer.
    """

    stack: StackStatus
    services: list[ServiceHealth]
    sagas: dict[str, int] | None
    outcomes: SagaOutcomes | None

    @property
    def healthy(self) -> bool:
        return all(service.health in ("answers", "standby", "expunged") for service in self.services)


def examine(stack: StackStatus) -> Examined:
    """Ask every service of `stack` whether it answers, and the database for its sagas."""
    sagas, outcomes = count_sagas(stack.facts.database.url) or (None, None)
    services = [_examine(service, database_answers=sagas is not None) for service in stack.services]
    return Examined(stack, services, sagas, outcomes)


def _examine(service: ServiceStatus, *, database_answers: bool) -> ServiceHealth:
    health, detail = _health(service, database_answers=database_answers)
    return ServiceHealth(service.name, health, service.state, service.address, service.pid, service.uptime_s, detail)


def _health(service: ServiceStatus, *, database_answers: bool) -> tuple[Health, str]:
    """With what there is to say of it."""
    match service.state:
        case "running":
            said = _ask(service, database_answers=database_answers)
            return ("silent", "") if said is None else ("answers", said)
        case "exited":
            return "down", service.detail
        case _:
            return service.state, service.detail


def _ask(service: ServiceStatus, *, database_answers: bool) -> str | None:
    """What it says of itself, mostly nothing; None if it does not answer. It is asked in its own protocol: a stopped
    process still accepts connections.
    """
    address = SocketAddr.parse(service.address)
    match service.protocol:
        case "http":
            return None if http_get(address, "/v1/ping") is None else ""
        case "nexus":
            return _ask_nexus(address)
        case "dns":
            return "" if _answers_dns(address) else None
        case "postgres":
            return "" if database_answers else None


def _ask_nexus(address: SocketAddr) -> str | None:
    match ask_nexus(address):
        case None:
            return None
        case UnexpectedAnswer():  # it does answer
            return ""
        case status:
            return nexus_words(status, address)


def nexus_words(status: QuiesceStatus, address: SocketAddr) -> str:
    """Why a Nexus makes no new sagas; empty for one that does."""
    match status.state:
        case Undetermined():
            return "has not yet determined if it is quiescing"
        case NotQuiescing():
            return "makes no new sagas: it is expunged; `nexus stop` ends it" if status.is_expunged else ""
        case DrainingSagas() | DrainingDb() | RecordingQuiesce():
            return f"quiescing; `omdb nexus --nexus-internal-url http://{address} quiesce show` says how far it is"
        case Quiesced():
            return "quiesced: makes no sagas, and uses the database no more"
    assert_never(status.state)


def _answers_dns(address: SocketAddr) -> bool:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(PROBE_TIMEOUT_S)
        try:
            client.connect((address.host, address.port))
            client.send(ROOT_NS_QUERY)
            client.recv(512)
        except OSError:
            return False
    return True


def count_sagas(url: str) -> tuple[dict[str, int], SagaOutcomes] | None:
    """By state, and how the done ones have ended; None when the database does not answer."""
    try:
        with psycopg.connect(url, connect_timeout=int(PROBE_TIMEOUT_S)) as connection:
            rows = connection.execute("SELECT saga_state, count(*) FROM saga GROUP BY saga_state ORDER BY saga_state")
            outcomes = connection.execute(COUNT_OUTCOMES, (OUTCOMES_LIMIT,))
            return dict(rows.fetchall()), SagaOutcomes(*outcomes.fetchall()[0])
    except psycopg.Error:
        return None


def render(examined: Examined) -> None:
    """Draw it on stdout."""
    console = Console(file=sys.stdout, soft_wrap=True, width=NEVER_CUT, markup=False, highlight=False)
    facts = examined.stack.facts
    console.print(f"stack {facts.name}, up {_age(examined.stack.uptime_s)}, in {facts.directory}")
    table = Table(box=None, pad_edge=False)
    for heading in ("SERVICE", "HEALTH", "ADDRESS", "PID", "UPTIME", ""):
        table.add_column(heading, no_wrap=True)
    for service in examined.services:
        health = Text(service.health, HEALTH_STYLES[service.health])
        table.add_row(service.name, health, service.address, str(service.pid), _age(service.uptime_s), service.detail)
    console.print(table)
    console.print(sagas_line(examined.sagas, examined.outcomes))


def sagas_line(sagas: dict[str, int] | None, outcomes: SagaOutcomes | None) -> str:
    """`sagas: 4 done (1 failed, 2 stuck), 5 running`"""
    if sagas is None or outcomes is None:
        return "sagas: unknown, the database does not answer"
    if not sagas:
        return "sagas: none"
    ended = {"failed": outcomes.failed, "stuck": outcomes.stuck}
    found = ", ".join(f"{count} {outcome}" for outcome, count in ended.items() if count)
    looked_at = f"of the newest {OUTCOMES_LIMIT}: " if sagas.get("done", 0) > OUTCOMES_LIMIT else ""
    notes = {"done": f" ({looked_at}{found or 'none failed or stuck'})" if found or looked_at else ""}
    return "sagas: " + ", ".join(f"{count} {state}{notes.get(state, '')}" for state, count in sagas.items())


def _age(seconds: float) -> str:
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {secs}s" if minutes else f"{secs}s"
