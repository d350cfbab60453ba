"""DNS as the database has it, in upstream's layout. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nexus.dns_types import AAAA, NS, SRV, A
from omdb.render.tables import empty_table
from omdb.render.text import line, printable
from omdb.render.times import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.db.dns_reads import Names, NewestVersion, VersionRecord, ZoneRecord
    from nexus.dns_types import DnsRecord
    from omdb.render.text import Line

VALUE_COLUMN = 28
NAME_WIDTH = 50


def version_table(versions: Sequence[NewestVersion]) -> list[Line]:
    rows = [
        (each.group, each.zone_name, str(each.version), to_milliseconds(each.time_created), each.comment)
        for each in versions
    ]
    return empty_table(("GROUP", "ZONE", "ver", "UPDATED", "REASON"), rows)


def change_lines(zone: ZoneRecord, version: VersionRecord, *, group: str, added: Names, removed: Names) -> list[Line]:
    """What a version changed in a zone."""
    facts = [
        ("DNS zone:", f"{zone.name} ({group.title()})"),
        ("requested version:", f"{version.version} (created at {to_milliseconds(version.time_created)})"),
        ("version created by Nexus:", version.creator),
        ("version created because:", version.comment),
        ("changes:", f"names added: {len(added)}, names removed: {len(removed)}"),
    ]
    lines = [line(f"{label.ljust(VALUE_COLUMN)}{printable(value)}") for label, value in facts]
    changes = [
        *((name, 1, ("+", "succeeded"), records) for name, records in added),
        *((name, 0, ("-", "failed"), records) for name, records in removed),
    ]
    lines.append(())
    for name, _, mark, records in sorted(changes, key=lambda change: change[:2]):
        lines += [line(mark, "  " + text) for text in _name_lines(name, records)]
    return lines


def name_lines(zone: ZoneRecord, names: Names, *, group: str) -> list[Line]:
    """What a zone says. Services come after hosts."""
    in_order = sorted(names, key=lambda each: (each[0].startswith("_"), each[0]))
    return [
        line(f"{group.title()} zone: {printable(zone.name)}"),
        line(f"  {'NAME'.ljust(NAME_WIDTH)} RECORDS"),
        *(line("  " + text) for name, records in in_order for text in _name_lines(name, records)),
    ]


def _name_lines(name: str, records: Sequence[DnsRecord]) -> list[str]:
    """One line for a single record that is no service, else one for each below the name."""
    label = printable(name).ljust(NAME_WIDTH)
    if len(records) == 1 and not isinstance(records[0], SRV):
        return [f"{label} {_record(records[0])}"]
    return [f"{label} (records: {len(records)})", *(f"    {_record(record)}" for record in records)]


def _record(record: DnsRecord) -> str:
    match record:
        case A(ip):
            return f"A    {printable(ip)}"
        case AAAA(ip):
            return f"AAAA {printable(ip)}"
        case NS(name):
            return f"NS   {printable(name)}"
        case SRV(srv):
            return f"SRV  port {srv.port:5} {printable(srv.target)}"
    assert_never(record)
