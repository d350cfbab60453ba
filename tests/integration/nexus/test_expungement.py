"""A Nexus is expunged, and its sagas move: the whole of it, with Nexuses, database and DNS servers in one process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from blueprint_driver import (
    ADD_NEXT,
    BUMP,
    NEXT,
    TARGET,
    edit_target,
    eventually,
    get,
    names,
    post,
    until_a_lock_is_waited_for,
)
from blueprint_lab import edited_child
from nexus_lab import FIRST, SECOND, Nexus, World, world
from saga_lab import KeptLog

from nexus.db.blueprint_target import lock_target, replace_target
from nexus.db.blueprints import read_blueprint
from nexus.db.nexus_state_repairs import mark_quiesced
from nexus.db.pool import open_pool
from nexus.deployment.edits import ExpungeZone
from nexus.deployment.execution import ORPHANED_COMMENT
from nexus.ids import NexusId
from simstack.rack_setup import SLED_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dropshot.client import Response


def states(*expected: tuple[str, str]) -> Callable[[Response], bool]:
    """Of all sagas in memory."""
    wanted = sorted(expected)

    def are_so(answer: Response) -> bool:
        return sorted((item["id"], item["state"]["state"]) for item in json.loads(answer.body)["items"]) == wanted

    return are_so


async def create_demo(nexus: Nexus) -> tuple[str, str]:
    made = await post(nexus, "/demo-saga")
    return made["saga_id"], made["demo_saga_id"]


async def two_nexuses(w: World, first: Nexus, second: Nexus) -> None:
    await w.initialize_rack(first)
    await first.ready()
    await second.ready()


def rows(database_url: str, query: str, *values: object) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query.encode(), values).fetchall()


async def test_its_sagas_go_on_elsewhere(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        async with w.nexus(SECOND) as second:
            await two_nexuses(w, first, second)
            saga_id, demo_saga_id = await create_demo(second)
            await eventually(lambda: names(w) == {str(FIRST), str(SECOND)})
        # It is dead now. Nobody says that it is: that nobody listens there any more is found out.
        await edit_target(first, {"edit": "expunge_zone", "zone_id": SECOND})
        await first.eventually("GET", "/sagas", states((saga_id, "running")))
        await first.eventually("GET", "/bgtasks/view/saga_recovery", lambda answer: saga_id.encode() in answer.body)
        # Until its action waits here the answer is a 503 that says so.
        await first.eventually("POST", f"/demo-saga/{demo_saga_id}/complete", lambda answer: answer.status == 204)
        await first.eventually("GET", "/sagas", states((saga_id, "succeeded")))
        await eventually(lambda: names(w) == {str(FIRST)})
        assert rows(database_url, "SELECT claim, sec_id, adopt_generation, reason FROM saga_claim ORDER BY claim") == [
            (1, SECOND, 1, "created"),
            (2, FIRST, 2, "adopted"),
            (3, FIRST, 2, "recovered"),
        ]
        assert rows(database_url, "SELECT nexus_id FROM db_metadata_nexus") == [(FIRST,)]
        comments = [comment for (comment,) in rows(database_url, "SELECT comment FROM blueprint ORDER BY time_created")]
        assert comments[-2:] == [f"expunged zone {SECOND}", f"marked zone {SECOND} ready for cleanup"]


async def test_one_that_lives_on_gives_them_up(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first, w.nexus(SECOND) as second:
        await two_nexuses(w, first, second)
        saga_id, demo_saga_id = await create_demo(second)
        await edit_target(first, {"edit": "expunge_zone", "zone_id": SECOND, "ready_for_cleanup": True})
        await first.eventually("GET", "/sagas", states((saga_id, "running")))
        await post(second, "/bgtasks/activate", {"bgtask_names": ["blueprint_loader"]})
        await second.eventually("GET", "/sagas", states())
        await first.eventually("POST", f"/demo-saga/{demo_saga_id}/complete", lambda answer: answer.status == 204)
        await first.eventually("GET", "/sagas", states((saga_id, "succeeded")))
        written = rows(database_url, "SELECT DISTINCT creator, claim FROM saga_node_event ORDER BY claim")
        assert written == [(SECOND, 1), (FIRST, 3)]


async def test_one_that_is_expunged_while_it_puts_itself_in_service(database_url: str) -> None:
    """It waits for the target, and keeps nobody from expunging it."""
    async with world(database_url) as w, open_pool(database_url, log=KeptLog()) as pool:
        async with w.nexus() as first, w.nexus(SECOND) as second:
            await two_nexuses(w, first, second)
        async with pool.connection() as connection:
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            await connection.execute("SET LOCAL deadlock_timeout = '1ms'")
            current = await lock_target(connection)
            target = await read_blueprint(connection, current.target.target_id)
            expunged = edited_child(target, ExpungeZone(NexusId(SECOND)))

            async def expunge(_: Nexus) -> None:
                await until_a_lock_is_waited_for(database_url)
                await replace_target(connection, current, expunged, now=datetime.now(UTC))
                await connection.execute("COMMIT")

            assert (await w.refusal(SECOND, expunge)).startswith("this Nexus is expunged, and never comes back: ")


async def test_one_on_standby_waits_no_longer(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        await edit_target(first, ADD_NEXT)

        async def expunge(standby: Nexus) -> None:
            await standby.news.wait_for_status("the handoff")
            assert standby.news.values["X_STANDBY"] == "1"
            await edit_target(first, {"edit": "expunge_zone", "zone_id": NEXT})

        for refusal in (await w.refusal(NEXT, expunge), await w.refusal(NEXT)):
            assert refusal.startswith(f"this Nexus is expunged, and never comes back: zone {NEXT} is expunged in ")
        assert rows(database_url, "SELECT sec_id FROM sec_process") == [(FIRST,)]


async def test_nothing_moves_while_it_may_still_run(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first, w.nexus(SECOND) as second:
        await two_nexuses(w, first, second)
        saga_id, _ = await create_demo(second)
        await edit_target(first, {"edit": "expunge_zone", "zone_id": SECOND})
        path = "/bgtasks/view/expunged_zone_watcher"
        await first.eventually("GET", path, lambda answer: b"somebody listens there" in answer.body)
        details = (await get(first, path))["last"]["details"]["details"]
        assert [zone["zone_id"] for zone in details["waiting_for"]] == [str(SECOND)]
        assert rows(database_url, "SELECT id, current_sec FROM saga") == [(UUID(saga_id), SECOND)]


async def test_all_of_a_sled_that_is_gone(database_url: str) -> None:
    """Upstream's way: the sled's policy, then the planner, which is switched on for it."""
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        add = {"edit": "add_nexus_zone", "zone_id": SECOND, "internal_address": "[::1]:9", "sled_id": SLED_IDS[1]}
        await edit_target(first, add)
        await first.eventually("GET", "/bgtasks/view/blueprint_planner", lambda answer: b"disabled" in answer.body)
        await post(first, "/sleds/expunge", {"sled": SLED_IDS[1]})
        config = await get(first, "/deployment/reconfigurator-config")
        wanted = {"version": config["version"] + 1, "config": {**config["config"], "planner_enabled": True}}
        await post(first, "/deployment/reconfigurator-config", wanted)
        await first.eventually("GET", "/bgtasks/view/blueprint_planner", lambda answer: b"unchanged" in answer.body)
        target = await get(first, TARGET)
        blueprint = await get(first, f"/deployment/blueprints/all/{target['target_id']}")
        assert blueprint["comment"] == f"expunged sled {SLED_IDS[1]}"
        sled = blueprint["sleds"][str(SLED_IDS[1])]
        assert sled["state"] == "decommissioned"
        assert [zone["disposition"]["kind"] for zone in sled["zones"]] == ["expunged"]


async def test_a_planner_that_is_on_is_told_of_a_sled_that_is_gone(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        config = await get(first, "/deployment/reconfigurator-config")
        wanted = {"version": config["version"] + 1, "config": {**config["config"], "planner_enabled": True}}
        await post(first, "/deployment/reconfigurator-config", wanted)
        await first.eventually("GET", "/bgtasks/view/blueprint_planner", lambda answer: b"unchanged" in answer.body)
        before = (await get(first, TARGET))["target_id"]
        await post(first, "/sleds/expunge", {"sled": SLED_IDS[1]})
        await first.eventually("GET", TARGET, lambda answer: before not in answer.body.decode())


async def test_sagas_of_an_older_generation_are_orphaned(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        async with w.nexus(SECOND) as second:
            await two_nexuses(w, first, second)
            saga_id, _ = await create_demo(second)
        await edit_target(first, ADD_NEXT, BUMP)
        async with w.nexus(NEXT) as new:
            await new.news.wait_for_status("the handoff")
            # The second one is dead: it can neither drain nor say that it is quiesced.
            with psycopg.connect(database_url) as connection:
                mark_quiesced(connection, NexusId(SECOND))
            await new.ready()
            await edit_target(new, {"edit": "expunge_zone", "zone_id": SECOND})
            read = "SELECT saga_state, abandon_reason, abandon_comment FROM saga WHERE id = %s"
            await eventually(lambda: rows(database_url, read, saga_id) == [("abandoned", "orphaned", ORPHANED_COMMENT)])
