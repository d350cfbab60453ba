"""The summary that `omicron-dev run-all` prints once everything answers.

Labels, order and alignment are upstream's (values start 24 characters after the prefix), except that the database is
called what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simstack.facts import NexusFacts, StackFacts

PREFIX = "omicron-dev: "
VALUE_COLUMN = 24


def summary(facts: StackFacts) -> str:
    """All lines, each ending in a newline."""
    return "".join(f"{PREFIX}{line}\n" for line in _lines(facts))


def nexus_summary(nexus: NexusFacts) -> str:
    """The lines of one that was added."""
    rows = (
        _row("nexus id", nexus.id),
        _row("nexus external API", nexus.external_address),
        _row("nexus internal API", nexus.internal_address),
        _row("nexus config", nexus.config),
    )
    return "".join(f"{PREFIX}{row}\n" for row in rows)


def _row(label: str, value: object) -> str:
    return f"{label + ':':<{VALUE_COLUMN}}{value}"


def _lines(facts: StackFacts) -> Iterator[str]:
    yield "services are running."
    for nexus in facts.nexuses:
        yield _row("nexus external API", nexus.external_address)
        yield _row("nexus internal API", nexus.internal_address)
    database = facts.database
    yield _row(f"{database.kind} pid", database.pid)
    yield _row(f"{database.kind} URL", database.url)
    yield _row(f"{database.kind} directory", database.directory)
    yield _row("internal DNS HTTP", facts.internal_dns.http_url)
    yield _row("internal DNS", facts.internal_dns.address)
    yield _row("external DNS name", facts.external_dns.zone)
    yield _row("external DNS HTTP", facts.external_dns.http_url)
    yield _row("external DNS", facts.external_dns.address)
    host, _, port = facts.external_dns.address.rpartition(":")
    yield f"  e.g. `dig @{host.strip('[]')} -p {port} {facts.silo.name}.sys.{facts.external_dns.zone}`"
    for gateway in facts.gateways:
        yield _row("management gateway", f"{gateway.url} ({gateway.switch})")
    yield _row("silo name", facts.silo.name)
    yield _row("privileged user name", facts.silo.user)
    yield _row("privileged password", facts.silo.password)
    yield _row("second Nexus config", facts.second_nexus_config)
