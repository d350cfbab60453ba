"""As much of a Nexus as sagas need, for tests with many processes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from saga_lab import KeptLog

from nexus.db.pool import open_pool
from nexus.saga import Sec
from nexus.saga.postgres import PostgresSecStore
from nexus.sagas.catalog import open_catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.saga import SecId
    from nexus.sagas.catalog import SagaCatalog


@dataclass(frozen=True, slots=True)
class SmallNexus:
    sec: Sec
    store: PostgresSecStore
    catalog: SagaCatalog
    log: KeptLog


@asynccontextmanager
async def small_nexus(url: str, sec_id: SecId, *, deadline_s: float) -> AsyncIterator[SmallNexus]:
    log = KeptLog()
    with trio.fail_after(deadline_s):
        async with open_pool(url, log=KeptLog()) as pool, trio.open_nursery() as nursery:
            catalog = open_catalog([], find_pool=lambda: pool)
            store = PostgresSecStore(pool, log=KeptLog())
            sec = Sec(sec_id, store=store, registry=catalog.types.registry, log=log)
            await nursery.start(sec.run)
            yield SmallNexus(sec, store, catalog, log)
            nursery.cancel_scope.cancel()
