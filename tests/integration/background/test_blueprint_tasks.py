"""The tasks that keep the target blueprint and the reconfigurator's configuration, on a real database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
import structlog
import trio
from blueprint_lab import FIRST_NEXUS, HANDOFF, INITIAL, START

from nexus.background.activator import Watch
from nexus.background.tasks.blueprint_loader import BlueprintLoader
from nexus.background.tasks.reconfigurator_config import ReconfiguratorConfigWatcher
from nexus.db.blueprint_target import read_target, set_target_enabled
from nexus.db.pool import open_pool
from nexus.db.rack import initialize_rack
from nexus.db.reconfigurator_config import insert_config
from nexus.deployment.config import INITIAL_CONFIG, ReconfiguratorConfigParam, ReconfiguratorConfigView
from nexus.errors import InvalidRequest
from nexus.ids import RackId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.db.pool import Pool
    from nexus.deployment.loaded import LoadedBlueprint

LOG = structlog.get_logger()


@asynccontextmanager
async def rack(database_url: str) -> AsyncIterator[Pool]:
    with trio.fail_after(30):
        async with open_pool(database_url, log=LOG) as pool:
            await pool.transaction(
                lambda connection: initialize_rack(
                    connection, RackId(UUID(int=1)), HANDOFF, nexus_id=FIRST_NEXUS, now=START
                )
            )
            yield pool


async def test_the_loader_tells_of_what_differs_alone(database_url: str) -> None:
    watch: Watch[LoadedBlueprint | None] = Watch(None)
    changes = watch.subscribe()
    async with rack(database_url) as pool:
        loader = BlueprintLoader(pool=pool, loaded=watch, now=lambda: START)
        target_id = (await pool.transaction(read_target)).target_id
        found = {"target_id": target_id, "time_created": START, "time_found": START, "enabled": True}
        assert await loader.activate() == {**found, "status": "first target blueprint"}
        assert changes.take()
        assert watch.value is not None
        assert watch.value.blueprint.sleds == INITIAL.sleds
        assert await loader.activate() == {**found, "status": "target blueprint unchanged"}
        assert not changes.take()
        now = datetime.now(UTC)
        await pool.transaction(lambda connection: set_target_enabled(connection, target_id, enabled=False, now=now))
        assert await loader.activate() == {**found, "enabled": False, "status": "target blueprint disabled"}
        assert changes.take()
        with psycopg.connect(database_url) as connection:
            connection.execute("""UPDATE blueprint SET contents = jsonb_set(contents, '{comment}', '"other"')""")
        details = await loader.activate()
        assert details["status"] == "target blueprint unchanged (error)"
        assert details["error"] == f"blueprint {target_id} has changed, which no blueprint ever should"
        assert not changes.take()


async def test_the_configuration_is_watched(database_url: str) -> None:
    watch: Watch[ReconfiguratorConfigView | None] = Watch(None)
    changes = watch.subscribe()
    async with rack(database_url) as pool:
        watcher = ReconfiguratorConfigWatcher(pool=pool, config=watch)
        assert [await watcher.activate() for _ in range(2)] == [{"config_updated": True}, {"config_updated": False}]
        assert watch.value == ReconfiguratorConfigView(1, INITIAL_CONFIG, START)
        assert changes.take()
        now = datetime.now(UTC)
        wanted = ReconfiguratorConfigParam(2, INITIAL_CONFIG)
        for _ in range(2):  # as after a commit whose answer was lost
            await pool.transaction(lambda connection: insert_config(connection, wanted, now=now))
        assert await watcher.activate() == {"config_updated": True}
        assert changes.take()
        newer = ReconfiguratorConfigParam(3, INITIAL_CONFIG)
        await pool.transaction(lambda connection: insert_config(connection, newer, now=datetime.now(UTC)))
        await pool.transaction(lambda connection: insert_config(connection, wanted, now=now))
        with pytest.raises(InvalidRequest, match="version 2 is not the most recent"):
            await pool.transaction(lambda connection: insert_config(connection, wanted, now=START))
