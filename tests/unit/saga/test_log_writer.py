"""What the Postgres store's log writer puts in one transaction, and when: with a pool that has no database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import UUID

import trio
import trio.testing
from saga_lab import SEC_ID, KeptLog

from nexus.saga.errors import SagaLost
from nexus.saga.ids import NodeId, SagaId
from nexus.saga.log import NodeEvent
from nexus.saga.payload import encode
from nexus.saga.postgres import log_writer
from nexus.saga.postgres.log_writer import LogWriter, Outcome, PostgresSagaLog
from nexus.saga.store import Claim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from functools import partial

    import pytest

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.saga.postgres.log_writer import LogRow

T = TypeVar("T")

NODE = NodeId(0)


class WritingPool:
    """Keeps the batches that it is to write."""

    def __init__(self) -> None:
        self.batches: list[Sequence[LogRow]] = []

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        await trio.lowlevel.checkpoint()
        self.batches.append(cast("partial[Awaitable[T]]", fn).keywords["rows"])
        return cast("T", Outcome())


@asynccontextmanager
async def writing(pool: WritingPool) -> AsyncIterator[LogWriter]:
    writer = LogWriter(cast("Pool", pool), log=KeptLog())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        yield writer
        nursery.cancel_scope.cancel()


def log_of(writer: LogWriter, value: int) -> PostgresSagaLog:
    return PostgresSagaLog(writer, Claim(SagaId(UUID(int=value)), SEC_ID, 1, 1), next_index=0)


async def test_a_log_that_was_refused_holds_up_nobody(autojump_clock: trio.testing.MockClock) -> None:
    """The clock moves only if the writer sleeps."""
    start = trio.current_time()
    async with writing(WritingPool()) as writer:
        refused, other = log_of(writer, 1), log_of(writer, 2)
        refused.enqueue(NodeEvent.started(refused.claim.saga_id, NODE))
        refused.refuse(SagaLost(refused.claim.saga_id, "is gone"))
        await trio.testing.wait_all_tasks_blocked()
        other.enqueue(NodeEvent.started(other.claim.saga_id, NODE))
        await other.durable()
    assert trio.current_time() == start


async def test_a_transaction_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but its last row fit, be they of one saga or of many, and a row that is larger than all goes alone."""
    monkeypatch.setattr(log_writer, "MAX_BYTES", 100)
    pool = WritingPool()
    async with writing(pool) as writer:
        logs = [log_of(writer, value) for value in range(4)]
        for log, sizes in zip(logs, ([300], [40, 50, 30, 10], [20], [0, 60]), strict=True):
            for node_id, size in enumerate(sizes):
                output = encode("x" * (size - 2)) if size else encode(0)
                log.enqueue(NodeEvent.succeeded(log.claim.saga_id, NodeId(node_id), output))
        for log in logs:
            await log.durable()
    batches = [[(int(row.log.claim.saga_id), row.log_index) for row in batch] for batch in pool.batches]
    assert batches == [[(0, 0)], [(1, 0), (1, 1), (1, 2)], [(2, 0), (3, 0), (3, 1), (1, 3)]]
