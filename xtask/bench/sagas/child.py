"""The engine in a process that is killed, and in the one after it.

python -m xtask.bench.sagas.child DATABASE_URL SEC_ID park COUNT
    parks so many sagas, prints a `Parked` as JSON, and waits to be killed
python -m xtask.bench.sagas.child DATABASE_URL SEC_ID recover COUNT
    recovers all of them, prints a `Recovered` as JSON when they have ended, and ends
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec
import trio

from dropshot.pagination import next_page_token
from nexus.api.saga_views import saga_view
from nexus.api.types import ResultsPage
from nexus.saga.ids import SagaId, SecId
from xtask.bench.sagas.engine import in_parallel, open_sec
from xtask.bench.sagas.saga_types import ACT, PARKED, dag

if TYPE_CHECKING:
    from nexus.saga.sec import Sec

WARM_UP = 300
AT_ONCE = 256
"""As background task `saga_recovery` recovers them."""

PAGE = 1_000
"""As `omdb nexus sagas list` asks for it."""

LISTINGS = 21


class Parked(msgspec.Struct, frozen=True):
    kib: float
    """Resident memory of each, beyond that of a process that has parked some already."""
    listing_s: float
    """What a Nexus does for the first page of `GET /sagas`: the median of some."""


class Recovered(msgspec.Struct, frozen=True):
    loaded_s: float
    ended_s: float
    """Both since the process had its interpreter and modules, with no connection to the database yet."""


async def park(url: str, sec_id: SecId, count: int) -> None:
    # What the warm-up has parked stays, or there would be memory for the others already.
    async with open_sec(url, PARKED, SecId(uuid4())) as warm, open_sec(url, PARKED, sec_id) as sec:
        await in_parallel(AT_ONCE, WARM_UP, lambda: warm.create(SagaId(uuid4()), dag(0)))
        before = _resident_kib()
        await in_parallel(AT_ONCE, count, lambda: sec.create(SagaId(uuid4()), dag(0)))
        kib = (_resident_kib() - before) / count
        parked = Parked(kib, statistics.median(_first_page_s(sec) for _ in range(LISTINGS)))
        print(msgspec.json.encode(parked).decode(), flush=True)
        await trio.sleep_forever()


async def recover(url: str, sec_id: SecId, count: int) -> None:
    start = time.perf_counter()
    async with open_sec(url, ACT, sec_id) as sec:
        found: list[SagaId] = []
        while page := await sec.list_in_progress(after=found[-1] if found else None):
            found += [saga.saga_id for saga in page]
        if len(found) != count:
            raise SystemExit(f"the process before this one left {len(found)} sagas, not {count}")
        to_do = iter(found)

        async def recover_one() -> None:
            await sec.recover(next(to_do))

        await in_parallel(AT_ONCE, count, recover_one)
        loaded_s = time.perf_counter() - start
        for saga_id in found:
            await sec.wait_ended(saga_id)
        recovered = Recovered(loaded_s, time.perf_counter() - start)
    print(msgspec.json.encode(recovered).decode(), flush=True)


def _first_page_s(sec: Sec) -> float:
    start = time.perf_counter()
    sagas = [saga_view(status) for status in sec.sagas(limit=PAGE)]
    msgspec.json.encode(ResultsPage(sagas, next_page_token(sagas[-1].id)))
    return time.perf_counter() - start


def _resident_kib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


if __name__ == "__main__":
    _, database_url, sec, what, number = sys.argv
    trio.run({"park": park, "recover": recover}[what], database_url, SecId(UUID(sec)), int(number))
