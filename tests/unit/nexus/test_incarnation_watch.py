"""The watch for another process of the same id, at the end of this one's time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import trio
from saga_lab import KeptLog

from nexus.db.pool import open_pool
from nexus.db.sec_processes import SecProcess
from nexus.incarnation import Incarnation
from nexus.saga.ids import SecId

if TYPE_CHECKING:
    from trio.testing import MockClock

MINE = SecProcess(SecId(UUID(int=0xE6)), 1, 4711, "here", datetime(2026, 1, 2, tzinfo=UTC))


async def test_it_has_nothing_to_say_of_a_retired_database(autojump_clock: MockClock) -> None:
    log = KeptLog()
    async with open_pool("postgresql://nobody@127.0.0.1:9/none", log=log) as pool, trio.open_nursery() as nursery:
        await pool.retire("over")
        incarnation = Incarnation(pool, MINE, log=log)
        watch = partial(incarnation.watch, dispelled=lambda: pytest.fail("it cannot know"))
        nursery.start_soon(watch)
        await trio.sleep(600)
        incarnation.doubt()
        await trio.sleep(600)
        nursery.cancel_scope.cancel()
    assert log.lines == []
