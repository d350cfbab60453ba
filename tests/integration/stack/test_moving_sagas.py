"""Of three Nexuses two are killed and expunged, one after the other, while clients make sagas; each is done once.

For 4 s, or with MOVES=all in the environment for 60 s.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import trio

from dropshot.client import ClientError, request
from nexus.clients.deployment import edit_blueprint
from nexus.clients.nexus import check_success, create_sagas, decode_created_sagas
from nexus.deployment.edits import ExpungeZone
from nexus.ids import NexusId
from nexus.sagas.provision import NODES
from simstack.stack import NexusOptions, open_stack

if TYPE_CHECKING:
    from uuid import UUID

    from nexus.clients.nexus import Request
    from simstack.stack import LaunchedNexus, Stack

DURATION_S = 60.0 if os.environ.get("MOVES") == "all" else 4.0
SAGAS_PER_S = 50
AT_ONCE = 100
"""Made in one request at a Nexus that is killed when it has acknowledged them."""

ANSWER_TIMEOUT_S = 30.0
HANG_S = 120.0


@dataclass
class Record:
    """What the clients know: sagas that were acknowledged, and how many requests were not."""

    acknowledged: list[UUID] = field(default_factory=list)
    unanswered: int = 0


async def ask(nexus: LaunchedNexus, asked: Request) -> bytes:
    address = nexus.planned.internal_address
    response = await request(address, asked.method, asked.path, body=asked.body, timeout_s=ANSWER_TIMEOUT_S)
    check_success(response.status, response.body)
    return response.body


async def create(nexus: LaunchedNexus, record: Record, *, count: int = 1) -> None:
    try:
        answer = await ask(nexus, create_sagas("provision", params=None, count=count))
    except ClientError:
        record.unanswered += 1  # it was killed: whether there is such a saga now is open
    else:
        record.acknowledged += decode_created_sagas(answer).saga_ids


async def create_at_a_rate(left: list[LaunchedNexus], record: Record) -> None:
    async with trio.open_nursery() as nursery:
        start = trio.current_time()
        for number in range(int(DURATION_S * SAGAS_PER_S)):
            await trio.sleep_until(start + number / SAGAS_PER_S)
            nursery.start_soon(create, left[number % len(left)], record)


async def lose(victim: LaunchedNexus, left: list[LaunchedNexus], record: Record) -> None:
    """Kill it in the middle of many sagas, while clients still turn to it, and expunge it."""
    await create(victim, record, count=AT_ONCE)
    await victim.kill()
    left.remove(victim)
    await ask(left[0], edit_blueprint(None, [ExpungeZone(NexusId(victim.id))], comment=None, set_target=True))


def rows(stack: Stack, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.facts.database.url) as connection:
        return connection.execute(query.encode()).fetchall()


async def no_saga_is_left(stack: Stack) -> None:
    while rows(stack, "SELECT 1 FROM saga WHERE saga_state IN ('running', 'unwinding') LIMIT 1"):  # noqa: ASYNC110
        await trio.sleep(0.05)


async def test_every_acknowledged_saga_is_done_once() -> None:
    record = Record()
    async with open_stack(NexusOptions(count=3, listen_port=0)) as stack:
        left = [stack.nexus(number) for number in (1, 2, 3)]
        with trio.fail_after(DURATION_S + HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(create_at_a_rate, left, record)
                for number in (2, 3):
                    await trio.sleep(DURATION_S / 4)
                    await lose(stack.nexus(number), left, record)
            await no_saga_is_left(stack)
        made = dict(rows(stack, "SELECT saga_id, array_agg(name ORDER BY name) FROM provisioned_resource GROUP BY 1"))
        ends = dict(rows(stack, "SELECT id, saga_state FROM saga"))
        failures = rows(stack, "SELECT * FROM saga_node_event WHERE event_type NOT IN ('started', 'succeeded')")
        claims = dict(rows(stack, "SELECT reason, count(*) FROM saga_claim GROUP BY 1"))
    print(f"{len(record.acknowledged)} sagas acknowledged, {record.unanswered} requests unanswered; claims: {claims}")
    assert len(record.acknowledged) == len(set(record.acknowledged)) >= 2 * AT_ONCE
    assert {saga_id: ends.get(saga_id) for saga_id in record.acknowledged} == dict.fromkeys(record.acknowledged, "done")
    assert [saga_id for saga_id in record.acknowledged if made.get(saga_id) != sorted(NODES)] == []
    assert set(ends.values()) == {"done"}
    assert failures == []
    assert claims["adopted"] > 0
