"""The summary that `omicron-dev run-all` prints once everything answers.

Labels, order and alignment are upstream's (values start 24 characters after the prefix), except that the database is
called what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simstack.facts import StackFacts

PREFIX = "omicron-dev: "
VALUE_COLUMN = 24


def summary(facts: StackFacts) -> str:
    """All lines, each ending in a newline."""
    return "".join(f"{PREFIX}{line}\n" for line in _lines(facts))


def _lines(facts: StackFacts) -> Iterator[str]:
    def row(label: str, value: object) -> str:
        return f"{label + ':':<{VALUE_COLUMN}}{value}"

    yield "services are running."
    for nexus in facts.nexuses:
        yield row("nexus external API", nexus.external_address)
        yield row("nexus internal API", nexus.internal_address)
    database = facts.database
    yield row(f"{database.kind} pid", database.pid)
    yield row(f"{database.kind} URL", database.url)
    yield row(f"{database.kind} directory", database.directory)
    yield row("internal DNS HTTP", facts.internal_dns.http_url)
    yield row("internal DNS", facts.internal_dns.address)
    yield row("external DNS name", facts.external_dns.zone)
    yield row("external DNS HTTP", facts.external_dns.http_url)
    yield row("external DNS", facts.external_dns.address)
    host, _, port = facts.external_dns.address.rpartition(":")
    yield f"  e.g. `dig @{host.strip('[]')} -p {port} {facts.silo.name}.sys.{facts.external_dns.zone}`"
    for gateway in facts.gateways:
        yield row("management gateway", f"{gateway.url} ({gateway.switch})")
    yield row("silo name", facts.silo.name)
    yield row("privileged user name", facts.silo.user)
    yield row("privileged password", facts.silo.password)
    yield row("second Nexus config", facts.second_nexus_config)
