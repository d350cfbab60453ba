"""What the simulated sled agent asks: the database for the target, and a Nexus to look."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import trio
from canned_servers import NOT_FOUND, CannedHttp, closed_port

from dropshot.address import SocketAddr
from simstack import sled_agent
from simstack.sled_agent import have_it_noticed, read_target

if TYPE_CHECKING:
    import pytest

ACTIVATE = "POST /bgtasks/activate"
HANG_S = 60.0


async def test_it_goes_on_to_a_nexus_that_will_look() -> None:
    quiesced, missing, looks, last = (CannedHttp({ACTIVATE: (status, NOT_FOUND)}) for status in (503, 404, 204, 204))
    with ExitStack() as stack:
        addresses = [f"127.0.0.1:{stack.enter_context(closed_port())}"]
        for nexus in (quiesced, missing, looks, last):
            addresses.append(stack.enter_context(nexus.serve()).removeprefix("http://"))
        await have_it_noticed([SocketAddr.parse(address) for address in addresses])
    assert [len(nexus.requests) for nexus in (quiesced, missing, looks, last)] == [1, 1, 1, 0]
    ((request, _, body),) = looks.requests
    assert (request, body) == (ACTIVATE, b'{"bgtask_names":["expunged_zone_watcher"]}')


async def test_it_does_not_wait_for_a_statement(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sled_agent, "ANSWER_TIMEOUT_S", 0.1)
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE bp_target")
        with trio.fail_after(HANG_S):
            assert await trio.to_thread.run_sync(read_target, database_url, abandon_on_cancel=True) is None
