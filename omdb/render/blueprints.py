"""Blueprints as upstream prints them: lists, a whole one, the difference between two. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never
from unicodedata import east_asian_width

from nexus.deployment.blueprint import Expunged, FromEdit, FromPlanner, FromRackSetup, FromTest, InService
from nexus.deployment.diff import Added, Modified, Removed
from nexus.deployment.nexus_states import goal_state
from omdb.render.tables import empty_table, psql_table
from omdb.render.text import line, printable
from omdb.render.times import rust_time, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nexus.db.deployment_reads import NexusStateRecord, TargetRecord
    from nexus.deployment.blueprint import (
        Blueprint,
        BlueprintMetadata,
        BlueprintSled,
        BlueprintSource,
        BlueprintTarget,
        BlueprintZone,
    )
    from nexus.deployment.diff import BlueprintDiff, SledChange
    from nexus.deployment.nexus_states import NexusState
    from nexus.ids import SledId
    from omdb.render.text import Line

NONE = "<none>"
UNCHANGED = "(unchanged)"
ZONE_HEADINGS = ("zone type", "zone id", "image source", "disposition", "nexus gen", "internal address")
GAP = "   "
MARGIN = "    "
MARKS = {"+": "succeeded", "-": "failed", "*": "warning"}

Pair: TypeAlias = tuple[str, str]
"""A key and its value."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a section: a mark in the margin, and below it the new values, where there are any."""

    mark: str
    cells: Sequence[str]
    below: Sequence[str] | None = None


def blueprint_table(blueprints: Iterable[BlueprintMetadata], target: BlueprintTarget | None) -> list[Line]:
    """By time of creation."""
    rows = []
    for blueprint in sorted(blueprints, key=lambda blueprint: (blueprint.time_created, blueprint.id)):
        is_target = target is not None and target.target_id == blueprint.id
        enabled = _yes_no(target.enabled) if target is not None and is_target else ""
        parent = NONE if blueprint.parent_blueprint_id is None else str(blueprint.parent_blueprint_id)
        created = to_milliseconds(blueprint.time_created)
        rows.append(("*" if is_target else " ", enabled, str(blueprint.id), parent, created))
    return empty_table(("T", "ENA", "ID", "PARENT", "TIME_CREATED"), rows)


def target_history(targets: Sequence[TargetRecord]) -> list[Line]:
    """The first one last."""
    rows = [
        (
            str(record.version),
            to_milliseconds(record.target.time_made_target),
            str(record.target.target_id),
            "enabled" if record.target.enabled else "disabled",
            "(blueprint deleted)" if record.comment is None else record.comment,
        )
        for record in sorted(targets, key=lambda record: record.version)
    ]
    return empty_table(("VERSN", "TIME", "BLUEPRINT", "EXECUTION", "COMMENT"), rows)


def nexus_state_lines(states: Sequence[NexusStateRecord], target: Blueprint) -> list[Line]:
    """What the Nexuses have come to, and what they are to come to."""
    rows = [
        (
            str(record.nexus_id),
            "" if record.last_drained_blueprint_id is None else str(record.last_drained_blueprint_id),
            _STATES.get(record.state, record.state),
            _transition(record.state, goal_state(target, record.nexus_id)),
        )
        for record in states
    ]
    heading = line(f"Target Blueprint {target.id} @ nexus_generation: {target.nexus_generation}")
    table = psql_table(("ID", "LAST_DRAINED_BLUEPRINT", "STATE", "TRANSITIONING_TO"), rows, left=0)
    return [heading, *table]


_STATES = {"active": "Active", "not_yet": "NotYet", "quiesced": "Quiesced"}


def _transition(state: str, goal: NexusState | None) -> str:
    if goal is None:
        return "Unknown"
    return "" if goal == state else _STATES[goal]


def target_lines(target: BlueprintTarget) -> list[Line]:
    return [
        line(f"target blueprint: {target.target_id}"),
        line(f"made target at:   {rust_time(target.time_made_target)}"),
        line(f"enabled:          {str(target.enabled).lower()}"),
    ]


def blueprint_lines(blueprint: Blueprint) -> list[Line]:
    parent = NONE if blueprint.parent_blueprint_id is None else str(blueprint.parent_blueprint_id)
    lines = [line(f"blueprint  {blueprint.id}"), line(f"parent:    {parent}")]
    for sled_id, sled in sorted(blueprint.sleds.items()):
        lines += [(), line("  ", (f"sled: {sled_id}", "heading")), *_pairs(_sled_pairs(sled)), *_sled_tables(sled)]
    for title, pairs in _settings(blueprint, everything=True).items():
        lines += [(), line(" ", (f"{title}:", "heading")), *_pairs(pairs)]
    return [
        *lines,
        (),
        line(" ", ("PENDING MGS-MANAGED UPDATES: 0", "heading")),
        (),
        line(f"blueprint source: {_source(blueprint.source)}"),
    ]


def diff_lines(diff: BlueprintDiff) -> list[Line]:
    lines = [line(f"from: blueprint {diff.before.id}"), line(f"to:   blueprint {diff.after.id}")]
    for title, kind in (("REMOVED", Removed), ("MODIFIED", Modified), ("ADDED", Added)):
        sleds = [(sled_id, change) for sled_id, change in diff.sleds.items() if isinstance(change, kind)]
        if sleds:
            lines += [(), line(" ", (f"{title} SLEDS:", "heading"))]
        for sled_id, change in sleds:
            lines += _sled_change(sled_id, change)
    before, after = (_settings(blueprint, everything=False) for blueprint in (diff.before, diff.after))
    for title in ("COCKROACHDB SETTINGS", "METADATA", "OXIMETER SETTINGS"):
        lines += [(), line(" ", (f"{title}:", "heading")), *pair_changes(before[title], after[title])]
    return lines


def pair_changes(before: Sequence[Pair], after: Sequence[Pair]) -> list[Line]:
    """Both of the same keys in the same order."""
    width = _key_width(before)
    lines: list[Line] = []
    for (key, old), (_, new) in zip(before, after, strict=True):
        if old == new:
            lines.append(line(f"{MARGIN}{_filled(key, width)}{GAP}{printable(old)} {UNCHANGED}"))
        else:
            values = f"{printable(old)} -> {printable(new)}"
            lines.append(line(("*", MARKS["*"]), f"   {_filled(key, width)}{GAP}{values}"))
    return lines


def _sled_change(sled_id: SledId, change: SledChange) -> list[Line]:
    match change:
        case Removed(before):
            state, rows = _state(before, before), [_Row("-", _zone_cells(zone)) for zone in before.zones]
        case Added(after):
            state, rows = _state(after, after), [_Row("+", _zone_cells(zone)) for zone in after.zones]
        case Modified(before, after):
            state, rows = _state(before, after), [_zone_row(*pair) for pair in change.zones().values()]
    return [(), line(f"  sled {sled_id} ({state}):"), *_section("omicron zones", ZONE_HEADINGS, rows)]


def _state(before: BlueprintSled, after: BlueprintSled) -> str:
    generation = _arrow(str(before.sled_agent_generation), str(after.sled_agent_generation))
    return f"{_arrow(before.state, after.state)}, config generation {generation}"


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _zone_row(before: BlueprintZone | None, after: BlueprintZone | None) -> _Row:
    if before is None:
        assert after is not None, "a zone of a diff is in one of the blueprints"
        return _Row("+", _zone_cells(after))
    if after is None:
        return _Row("-", _zone_cells(before))
    old, new = _zone_cells(before), _zone_cells(after)
    if old == new:
        return _Row(" ", old)
    changed = [one != other for one, other in zip(old, new, strict=True)]
    return _Row(
        "*",
        [f"- {cell}" if differs else cell for cell, differs in zip(old, changed, strict=True)],
        [f"+ {cell}" if differs else "" for cell, differs in zip(new, changed, strict=True)],
    )


def _sled_pairs(sled: BlueprintSled) -> list[Pair]:
    subnet = ipaddress.ip_network(sled.subnet.net)
    return [
        ("state", sled.state),
        ("update disposition", f"available (generation {sled.update_disposition.generation})"),
        ("config generation", str(sled.sled_agent_generation)),
        ("subnet", str(subnet)),
        ("last allocated IP", str(subnet[sled.last_allocated_ip_subnet_offset])),
    ]


def _sled_tables(sled: BlueprintSled) -> list[Line]:
    phase_2 = [_Row(" ", (slot, "current contents")) for slot in ("A", "B")]
    return [
        *_section("host phase 2 contents", ("slot", "boot image source"), phase_2),
        *_section("measurements", ("hash", "version"), [_Row(" ", ("unknown", "unknown"))]),
        *_section("omicron zones", ZONE_HEADINGS, [_Row(" ", _zone_cells(zone)) for zone in sled.zones]),
    ]


def _zone_cells(zone: BlueprintZone) -> list[str]:
    generation = str(zone.zone_type.nexus_generation)
    return [
        *("nexus", str(zone.id), "install dataset", _disposition(zone)),
        *(generation, printable(zone.zone_type.internal_address)),
    ]


def _disposition(zone: BlueprintZone) -> str:
    match zone.disposition:
        case InService():
            return "in service"
        case Expunged(ready_for_cleanup=ready):
            return f"expunged {'✓' if ready else '⏳'}"
    assert_never(zone.disposition)


def _settings(blueprint: Blueprint, *, everything: bool) -> dict[str, list[Pair]]:
    """By heading. A diff does not have all of it: who made the two, and when, differs of itself."""
    made = [
        ("created by", blueprint.creator),
        ("created at", to_milliseconds(blueprint.time_created)),
        ("comment", blueprint.comment or "(none)"),
    ]
    return {
        "COCKROACHDB SETTINGS": [
            ("state fingerprint", blueprint.cockroachdb_fingerprint or "(none)"),
            ("cluster.preserve_downgrade_option", "(do not modify)"),
        ],
        "OXIMETER SETTINGS": [("generation", str(blueprint.oximeter_read_version)), ("read from", "SingleNode")],
        "METADATA": [
            *(made if everything else []),
            ("internal DNS version", str(blueprint.internal_dns_version)),
            ("external DNS version", str(blueprint.external_dns_version)),
            ("target release min gen", str(blueprint.target_release_minimum_generation)),
            ("nexus gen", str(blueprint.nexus_generation)),
            ("external networking gen", str(blueprint.external_networking_generation)),
        ],
    }


def _source(source: BlueprintSource) -> str:
    match source:
        case FromRackSetup():
            return "initial blueprint from rack setup"
        case FromPlanner():
            return "made by the planner"
        case FromEdit():
            return "edited by hand"
        case FromTest():
            return "made for a test"
    assert_never(source)


def _section(title: str, headings: Sequence[str], rows: Sequence[_Row]) -> list[Line]:
    if not rows:
        return []
    texts = [headings, *(cells for row in rows for cells in (row.cells, row.below) if cells is not None)]
    widths = [max(map(_columns, column)) for column in zip(*texts, strict=True)]
    rule = line(MARGIN + "-" * (sum(widths) + len(GAP) * (len(widths) - 1)))
    lines = [(), line(f"{MARGIN}{title}:"), rule, line(MARGIN + _padded(headings, widths)), rule]
    for row in rows:
        lines.append(line((row.mark, MARKS.get(row.mark, "")), MARGIN[1:] + _padded(row.cells, widths)))
        if row.below is not None:
            lines.append(line(f"{MARGIN} └─{_padded(row.below, widths)[3:]}"))
    return lines


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _columns(cell)) for cell, width in zip(cells, widths, strict=True))
    return GAP.join(padded).rstrip()


def _columns(text: str) -> int:
    """How many columns of a terminal it takes: the hourglass takes two."""
    return sum(2 if east_asian_width(character) == "W" else 1 for character in text)


def _pairs(pairs: Sequence[Pair]) -> list[Line]:
    width = _key_width(pairs)
    return [line(f"{MARGIN}{_filled(key, width)}{GAP}{printable(value)}") for key, value in pairs]


def _key_width(pairs: Sequence[Pair]) -> int:
    return max(len(key) for key, _ in pairs) + 1


def _filled(key: str, width: int) -> str:
    return key.ljust(width, ":")


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
