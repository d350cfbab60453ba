"""Sagas in a database, row by row, at fixed times and under fixed ids: what the story of each is can be read here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import psycopg

FIRST_NEXUS = UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c")
SECOND_NEXUS = UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f")
OMDB = UUID("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa")

START = datetime(2024, 8, 12, 20, 0, tzinfo=UTC)

Event = tuple[float, int, str, str | None, UUID, int]
"""Seconds since the creation, node, kind, JSON, creator, claim."""

ClaimRow = tuple[float, UUID, int, str]
"""Seconds since the creation, SEC, adopt generation, reason."""

AttemptRow = tuple[float, int, str, int, int, str | None]
"""Seconds since the creation, node, kind, attempt, claim, JSON."""


def action(name: str, saga: str = "demo") -> object:
    return {"Action": {"name": name, "label": name.title().replace("_", ""), "action_name": f"{saga}.{name}"}}


def dag(name: str, *nodes: object) -> str:
    """These nodes one after the other, between Start and End."""
    start, end = len(nodes), len(nodes) + 1
    way = [start, *range(len(nodes)), end]
    graph = {
        "nodes": [*nodes, {"Start": {"params": {}}}, "End"],
        "node_holes": [],
        "edge_property": "directed",
        "edges": [[source, target, None] for source, target in pairwise(way)],
    }
    return json.dumps({"saga_name": name, "graph": graph, "start_node": start, "end_node": end})


@dataclass
class StoredSagaRows:
    id: UUID
    dag: str
    name: str = "demo"
    state: str = "running"
    created_s: float = 0
    current_sec: UUID | None = FIRST_NEXUS
    adopt_generation: int = 1
    claims: list[ClaimRow] = field(default_factory=lambda: [(0, FIRST_NEXUS, 1, "created")])
    events: list[Event] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    comment: str | None = None
    """Of an abandoned one."""

    def insert(self, connection: psycopg.Connection) -> None:
        def time(seconds: float) -> datetime:
            return START + timedelta(seconds=self.created_s + seconds)

        abandoned = self.state == "abandoned"
        connection.execute(
            "INSERT INTO saga (id, creator, time_created, name, saga_dag, saga_state, current_sec, adopt_generation,"
            " adopt_time, claim, abandon_time, abandon_reason, abandon_comment)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(self.id, FIRST_NEXUS, time(0), self.name, self.dag, self.state, self.current_sec),
                *(self.adopt_generation, time(0), len(self.claims), time(9) if abandoned else None),
                *("omdb" if abandoned else None, self.comment),
            ),
        )
        for number, (seconds, sec_id, adopt_generation, reason) in enumerate(self.claims, 1):
            row = (self.id, number, sec_id, adopt_generation, time(seconds), reason)
            connection.execute("INSERT INTO saga_claim VALUES (%s, %s, %s, %s, %s, %s)", row)
        for index, (seconds, node, kind, data, creator, claim) in enumerate(self.events):
            event = (self.id, node, kind, data, time(seconds), creator, claim, index)
            connection.execute("INSERT INTO saga_node_event VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", event)
        for seconds, node, kind, attempt, claim, error in self.attempts:
            call = (self.id, node, kind, attempt, claim, time(seconds), error)
            connection.execute("INSERT INTO saga_node_attempt VALUES (%s, %s, %s, %s, %s, %s, %s)", call)


def demo(id: int, *, until: int = 3, **changes: object) -> StoredSagaRows:
    """A demo saga that waits, or is somewhere before that: the first `until` events of its log."""
    events: list[Event] = [
        (0.001, 1, "started", None, FIRST_NEXUS, 1),
        (0.002, 1, "succeeded", "null", FIRST_NEXUS, 1),
        (0.003, 0, "started", None, FIRST_NEXUS, 1),
        (0.004, 0, "succeeded", "null", FIRST_NEXUS, 1),
        (0.005, 2, "started", None, FIRST_NEXUS, 1),
        (0.006, 2, "succeeded", "null", FIRST_NEXUS, 1),
    ]
    rows = StoredSagaRows(UUID(int=id), dag("demo", action("demo_wait")), events=events[:until])
    for name, value in changes.items():
        assert hasattr(rows, name)
        setattr(rows, name, value)
    return rows


RECOVERED_AND_ADOPTED = demo(
    0x10,
    until=6,
    state="done",
    current_sec=SECOND_NEXUS,
    adopt_generation=2,
    claims=[(0, FIRST_NEXUS, 1, "created"), (60, FIRST_NEXUS, 1, "recovered"), (120, SECOND_NEXUS, 2, "adopted")],
    attempts=[(60.5, 0, "action", 1, 2, None), (120.5, 0, "action", 2, 3, None)],
)
RECOVERED_AND_ADOPTED.events[3:] = [
    (130.001, 0, "succeeded", '"pear"', SECOND_NEXUS, 3),
    (130.002, 2, "started", None, SECOND_NEXUS, 3),
    (130.003, 2, "succeeded", "null", SECOND_NEXUS, 3),
]

STUCK = StoredSagaRows(
    UUID(int=0x20),
    dag(
        "provision",
        action("disk", "provision"),
        {"SubsagaStart": {"saga_name": "network", "params_node_name": "disk"}},
        action("port", "network"),
        {"Constant": {"name": "mtu", "value": 1500}},
        {"SubsagaEnd": {"name": "net"}},
        action("boot", "provision"),
    ),
    name="provision",
    state="done",
    created_s=1,
    events=[
        (0.001, 6, "started", None, FIRST_NEXUS, 1),
        (0.002, 6, "succeeded", "null", FIRST_NEXUS, 1),
        (0.003, 0, "started", None, FIRST_NEXUS, 1),
        (0.1, 0, "succeeded", '{"disk_id": 7}', FIRST_NEXUS, 1),
        (0.101, 1, "started", None, FIRST_NEXUS, 1),
        (0.102, 1, "succeeded", "null", FIRST_NEXUS, 1),
        (0.103, 2, "started", None, FIRST_NEXUS, 1),
        (0.2, 2, "failed", '{"ActionFailed": {"source_error": {"message": "no such port"}}}', FIRST_NEXUS, 1),
        (0.201, 1, "undo_started", None, FIRST_NEXUS, 1),
        (0.202, 1, "undo_finished", None, FIRST_NEXUS, 1),
        (0.203, 0, "undo_started", None, FIRST_NEXUS, 1),
        (0.5, 0, "undo_failed", '{"PermanentFailure": {"source_error": {"message": "in use"}}}', FIRST_NEXUS, 1),
    ],
    attempts=[(0.3, 0, "undo", 1, 1, '{"message": "busy"}'), (0.4, 0, "undo", 2, 1, '{"message": "busy"}')],
)

ABANDONED = demo(
    0x30,
    state="abandoned",
    created_s=2,
    comment="the disk is gone",
    claims=[(0, FIRST_NEXUS, 1, "created"), (9, OMDB, 1, "abandoned")],
)

UNASSIGNED = demo(0x40, until=2, state="unwinding", created_s=3, current_sec=None)

ODD = StoredSagaRows(
    UUID(int=0x50),
    '{"graph": {"nodes": ["End", {"Surprise": 1}]}}',
    name="odd",
    created_s=4,
    claims=[(0, FIRST_NEXUS, 1, "created"), (1, FIRST_NEXUS, 1, "recovered")],
    events=[
        (0.1, 1, "started", None, SECOND_NEXUS, 1),
        (0.2, 7, "succeeded", "3", FIRST_NEXUS, 2),
        (0.3, 0, "started", None, FIRST_NEXUS, 9),
    ],
)
