"""Sagas as `omdb db saga` shows them: what the database has recorded. Pure.

The stored DAG and events are shown whatever they hold; what does not fit together is told by `oddities`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.db.saga_reads import OMDB_SEC_ID
from omdb.render.tables import psql_table
from omdb.render.text import line, printable
from omdb.render.times import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from nexus.db.saga_reads import AttemptRecord, ClaimRecord, EventRecord, SagaRecord
    from omdb.render.text import Line

_EVENT_HEADINGS = ("event time", "sub saga", "node id", "event type", "claim", "data")

_EVENT_STYLES = {"succeeded": "succeeded", "failed": "failed", "undo_failed": "stuck"}


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node of the stored DAG. `label` is what upstream calls it, `output` the name of its output.

    Subsagas are numbered from 0 in the order of their start nodes.
    """

    label: str
    output: str | None = None
    subsaga: int | None = None


def stored_nodes(dag: str) -> list[StoredNode]:
    """By node id, as far as the JSON can be read."""
    try:
        nodes = json.loads(dag)["graph"]["nodes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    stored = []
    inside: list[int] = []
    subsagas = 0
    # A subsaga's start node, its own nodes and its end node stand in this order.
    for node in nodes if isinstance(nodes, list) else []:
        match node:
            case "End":
                stored.append(StoredNode("end"))
            case {"Start": _}:
                stored.append(StoredNode("start"))
            case {"Action": {"name": str(name), "action_name": str(action_name)}}:
                stored.append(StoredNode(action_name, name, inside[-1] if inside else None))
            case {"Constant": {"name": str(name)}}:
                stored.append(StoredNode(name, name, inside[-1] if inside else None))
            case {"SubsagaStart": {"saga_name": str(saga_name), "params_node_name": str(params)}}:
                inside.append(subsagas)
                subsagas += 1
                stored.append(StoredNode(f"subsaga start {saga_name} ({params})", None, inside[-1]))
            case {"SubsagaEnd": {"name": str(name)}}:
                stored.append(StoredNode(f"subsaga end {name}", name, inside.pop() if inside else None))
            case _:
                stored.append(StoredNode(json.dumps(node)))
    return stored


def stored_saga_table(sagas: Sequence[SagaRecord]) -> list[Line]:
    rows = [
        (
            str(saga.saga_id),
            "-" if saga.current_sec is None else str(saga.current_sec),
            to_milliseconds(saga.time_created),
            saga.name,
            (saga.state.capitalize(), "running" if saga.in_progress else ""),
        )
        for saga in sagas
    ]
    return psql_table(("id", "current_sec", "time_created", "name", "state"), rows)


def ending(saga: SagaRecord, events: Sequence[EventRecord]) -> list[Line]:
    """How it ended, if it has: the state alone does not tell a success from a failure."""
    if saga.abandonment is not None:
        abandoned = saga.abandonment
        text = f"abandoned: {to_milliseconds(abandoned.time)}, reason {abandoned.reason}: {abandoned.comment}"
    elif saga.in_progress:
        return []
    else:
        kinds = {event.kind for event in events}
        outcome = "stuck" if "undo_failed" in kinds else "failed" if "failed" in kinds else "succeeded"
        text = f"ended: {outcome}, as the log has it"
    return [line(printable(text)), ()]


def event_table(events: Sequence[EventRecord], nodes: Sequence[StoredNode]) -> list[Line]:
    """Not as wide as the widest data: of all columns that is the last, and is not padded."""
    rows = []
    for event in events:
        node = nodes[event.node_id] if event.node_id < len(nodes) else None
        subsaga = "" if node is None or node.subsaga is None else str(node.subsaga)
        rows.append(
            (
                to_milliseconds(event.time),
                subsaga,
                _node_id(event.node_id, nodes),
                event.kind,
                str(event.claim),
                _data(event, node),
            )
        )
    cells = [[printable(cell) for cell in row] for row in (_EVENT_HEADINGS, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    heading, *lines = [_event_line(row, widths) for row in cells]
    rule = line(" | ".join("-" * width for width in (*widths, len(_EVENT_HEADINGS[-1]))))
    return [heading, rule, *lines]


def claim_table(saga: SagaRecord, claims: Sequence[ClaimRecord], events: Sequence[EventRecord]) -> list[Line]:
    """Who could write the log, from when, why, and how many events they wrote."""
    written: dict[int, int] = {}
    for event in events:
        written[event.claim] = written.get(event.claim, 0) + 1
    rows = [
        (
            str(claim.claim),
            to_milliseconds(claim.time),
            claim.reason,
            _who(claim.sec_id),
            str(claim.adopt_generation),
            str(written.get(claim.claim, 0)),
        )
        for claim in claims
    ]
    table = psql_table(("claim", "time", "reason", "sec", "adopt_generation", "events"), rows)
    return [line(f"claims (in force: {saga.claim}):"), *table]


def attempt_table(attempts: Sequence[AttemptRecord], nodes: Sequence[StoredNode]) -> list[Line]:
    if not attempts:
        return [line("no calls beside those of the log")]
    rows = [
        (
            to_milliseconds(attempt.time),
            _node_id(attempt.node_id, nodes),
            attempt.kind,
            str(attempt.attempt),
            str(attempt.claim),
            "(the process that made it ended)" if attempt.error is None else attempt.error,
        )
        for attempt in attempts
    ]
    table = psql_table(("time", "node id", "kind", "attempt", "claim", "error"), rows)
    return [line("calls that ended without an event, and were made again:"), *table]


def oddities(
    saga: SagaRecord, nodes: Sequence[StoredNode], claims: Sequence[ClaimRecord], events: Sequence[EventRecord]
) -> list[str]:
    """What is not as a saga's records can be."""
    holders: Mapping[int, UUID] = {claim.claim: claim.sec_id for claim in claims}
    odd = [] if nodes else ["the DAG has no list of nodes"]
    if saga.claim not in holders:
        odd.append(f"there is no record of claim {saga.claim}, which is in force")
    for event in events:
        what = f"event {event.kind} of node {event.node_id}"
        if event.node_id >= len(nodes) > 0:
            odd.append(f"{what}: the DAG has no such node")
        if event.claim not in holders:
            odd.append(f"{what}: there is no record of claim {event.claim}")
        elif event.creator != holders[event.claim]:
            odd.append(f"{what}: written by {event.creator}, but claim {event.claim} is {holders[event.claim]}'s")
    return odd


def _event_line(row: Sequence[str], widths: Sequence[int]) -> Line:
    time, subsaga, node, kind, claim, data = row
    time_width, subsaga_width, node_width, kind_width, claim_width = widths
    return line(
        f"{time:>{time_width}} | {subsaga:<{subsaga_width}} | {node:<{node_width}} | ",
        (f"{kind:<{kind_width}}", _EVENT_STYLES.get(kind, "")),
        f" | {claim:>{claim_width}} | {data}".rstrip(" "),
    )


def _node_id(node_id: int, nodes: Sequence[StoredNode]) -> str:
    return f"{node_id:3}: {nodes[node_id].label if node_id < len(nodes) else '(not in the DAG)'}"


def _data(event: EventRecord, node: StoredNode | None) -> str:
    if event.data is None or event.data == "null":
        return ""
    return event.data if node is None or node.output is None else f"{json.dumps(node.output)} => {event.data}"


def _who(sec_id: UUID) -> str:
    return f"{sec_id} (omdb)" if sec_id == OMDB_SEC_ID else str(sec_id)
