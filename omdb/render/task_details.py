"""What a background task says of its last activation: free JSON, of which each task has its own form. Pure.

The structs below are those forms. Members that a newer Nexus may have added are passed over; JSON that does not fit
raises `OddDetails`, and then `unknown_details` shows it as it is.
"""

from __future__ import annotations

import json
from datetime import datetime

import msgspec

from omdb.render.blueprint_tasks import (
    BlueprintExecutorDetails,
    BlueprintPlannerDetails,
    EventReport,
    ExpungedZoneWatcherDetails,
    blueprint_executor,
    blueprint_planner,
    expunged_zone_watcher,
)
from omdb.render.saga_recovery import SagaRecoveryDetails, saga_recovery
from omdb.render.tables import empty_table
from omdb.render.text import indent, line, printable
from omdb.render.times import to_milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from omdb.render.text import Line

    T = TypeVar("T")


class OddDetails(Exception):
    """Not the form that this task's details have. `str()` says where it differs."""


def task_details(name: str, details: object) -> list[Line]:
    """The lines about `details`, without the empty one that ends a task. Raises OddDetails."""
    match details:
        case {"error": str(error)}:
            return [line("    last completion reported error: ", (printable(error), "failed"))]
    renderer = _RENDERERS.get(name, unknown_details)
    return renderer(details)


def unknown_details(details: object) -> list[Line]:
    """As JSON, for a task of which this omdb knows no form."""
    if details is None:
        return []
    return [line("    details: " + printable(json.dumps(details, ensure_ascii=False)))]


def find_event_report(details: object) -> EventReport | None:
    """What `print-report` draws, if `details` have it. Raises OddDetails."""
    match details:
        case {"event_report": report}:
            return _convert(report, EventReport)
    return None


def _convert(details: object, type_: type[T]) -> T:
    try:
        return msgspec.convert(details, type=type_)
    except msgspec.ValidationError as error:
        raise OddDetails(str(error)) from None


class DnsConfigDetails(msgspec.Struct):
    generation: int


def _dns_config(details: object) -> list[Line]:
    return [line(f"    last generation found: {_convert(details, DnsConfigDetails).generation}")]


class DnsServersDetails(msgspec.Struct):
    addresses: list[str]


def _dns_servers(details: object) -> list[Line]:
    addresses = sorted(_convert(details, DnsServersDetails).addresses)
    table = empty_table(("DNS_SERVER_ADDR",), [(address,) for address in addresses])
    return [line(f"    servers found: {len(addresses)}"), (), *indent(table, 6)]


class DnsPropagationDetails(msgspec.Struct):
    generation: int
    server_results: dict[str, dict[str, str | None]]
    """By address, `{"Ok": null}` or `{"Err": "..."}`."""


def _dns_propagation(details: object) -> list[Line]:
    found = _convert(details, DnsPropagationDetails)
    failures = {
        server: result["Err"] or "" for server, result in sorted(found.server_results.items()) if "Err" in result
    }
    results = [
        (server, ("error (see below)", "failed") if server in failures else ("success", "succeeded"))
        for server in sorted(found.server_results)
    ]
    return [
        line(f"    attempt to propagate generation: {found.generation}"),
        (),
        *indent(empty_table(("DNS_SERVER_ADDR", "LAST_RESULT"), results), 6),
        (),
        *(
            line("    ", ("error:", "failed"), f" server {printable(server)}: {printable(text)}")
            for server, text in failures.items()
        ),
    ]


class TlsCertificate(msgspec.Struct):
    digest: str


class ExternalEndpoint(msgspec.Struct):
    silo_id: str
    tls_certs: list[TlsCertificate | str] = []


class ExternalEndpointsDetails(msgspec.Struct):
    by_dns_name: dict[str, ExternalEndpoint]
    default_endpoint: ExternalEndpoint | None
    warnings: list[str]


def _external_endpoints(details: object) -> list[Line]:
    found = _convert(details, ExternalEndpointsDetails)
    default = found.default_endpoint.silo_id if found.default_endpoint else None
    endpoints = sorted(found.by_dns_name.items())
    certificates = [(dns_name, _digest(cert)) for dns_name, endpoint in endpoints for cert in endpoint.tls_certs]
    rows = [
        ("*" if endpoint.silo_id == default else "", endpoint.silo_id, dns_name) for dns_name, endpoint in endpoints
    ]
    lines = [
        line(f"    external API endpoints: {len(endpoints)} ('*' below marks default)"),
        (),
        *indent(empty_table((" ", "SILO_ID", "DNS_NAME"), rows), 8),
        (),
        line(f"    warnings: {len(found.warnings)}"),
        *(line("        ", ("warning:", "warning"), f" {printable(text)}") for text in found.warnings),
        (),
        line(f"    TLS certificates: {len(certificates)}"),
    ]
    if certificates:
        lines += indent(empty_table(("DNS_NAME", "DIGEST"), certificates), 8)
    return lines


def _digest(certificate: TlsCertificate | str) -> str:
    return certificate if isinstance(certificate, str) else certificate.digest


class BlueprintLoaderDetails(msgspec.Struct):
    target_id: str
    time_created: datetime
    status: str
    enabled: bool


def _blueprint_loader(details: object) -> list[Line]:
    found = _convert(details, BlueprintLoaderDetails)
    return [
        line(f"    target blueprint: {printable(found.target_id)}"),
        line(f"    execution:        {'enabled' if found.enabled else 'disabled'}"),
        line(f"    created at:       {to_milliseconds(found.time_created)}"),
        line(f"    status:           {printable(found.status)}"),
    ]


def _blueprint_executor(details: object) -> list[Line]:
    return blueprint_executor(_convert(details, BlueprintExecutorDetails))


def _blueprint_planner(details: object) -> list[Line]:
    found: BlueprintPlannerDetails = _convert(details, BlueprintPlannerDetails)  # type: ignore[arg-type]  # a union
    return blueprint_planner(found)


def _expunged_zone_watcher(details: object) -> list[Line]:
    return expunged_zone_watcher(_convert(details, ExpungedZoneWatcherDetails))


class ReconfiguratorConfigDetails(msgspec.Struct):
    config_updated: bool


def _reconfigurator_config(details: object) -> list[Line]:
    updated = _convert(details, ReconfiguratorConfigDetails).config_updated
    return [line(f"    config updated: {str(updated).lower()}")]


class SessionCleanupDetails(msgspec.Struct):
    deleted: int
    limit: int


def _session_cleanup(details: object) -> list[Line]:
    found = _convert(details, SessionCleanupDetails)
    more = " (the limit: there may be more)" if found.deleted >= found.limit else ""
    return [line(f"    expired sessions deleted: {found.deleted}{more}")]


def _saga_recovery(details: object) -> list[Line]:
    return saga_recovery(_convert(details, SagaRecoveryDetails))


_RENDERERS: dict[str, Callable[[object], list[Line]]] = {
    "blueprint_executor": _blueprint_executor,
    "blueprint_loader": _blueprint_loader,
    "blueprint_planner": _blueprint_planner,
    "dns_config_external": _dns_config,
    "dns_config_internal": _dns_config,
    "dns_propagation_external": _dns_propagation,
    "dns_propagation_internal": _dns_propagation,
    "dns_servers_external": _dns_servers,
    "dns_servers_internal": _dns_servers,
    "expunged_zone_watcher": _expunged_zone_watcher,
    "external_endpoints": _external_endpoints,
    "reconfigurator_config_watcher": _reconfigurator_config,
    "saga_recovery": _saga_recovery,
    "session_cleanup": _session_cleanup,
}
