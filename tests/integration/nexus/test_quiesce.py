"""A Nexus quiesces, and another generation takes over: with Nexuses, database and DNS servers in one process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import psycopg
import trio
import trio.testing
from blueprint_driver import ADD_NEXT, BUMP, NEXT, TARGET, edit_target, eventually, get, names, post
from nexus_lab import FIRST, SECOND, Nexus, world

from dropshot.address import SocketAddr
from nexus.config import (
    BackgroundTasksConfig,
    BlueprintTasksConfig,
    DnsTasksConfig,
    DropshotConfig,
    ExternalEndpointsConfig,
    SagaRecoveryConfig,
    SessionCleanupConfig,
)
from nexus.incarnation import CHECK_PERIOD_S
from nexus.quiesce.sagas import REQUESTED
from nexus.quiesce.sequence import RETIRED, STOPPED
from nexus.saga.sec import CLAIM_CHECK_PERIOD_S
from simstack.loopback import reserved_ports

if TYPE_CHECKING:
    from openapi_check import OpenApi

    from dropshot.client import Response


async def until_logged(nexus: Nexus, sentence: str, reason: str) -> None:
    await eventually(lambda: any(line["reason"] == reason for line in nexus.log_lines(sentence)))


async def refused(nexus: Nexus, path: str, body: object = None) -> str:
    """Why, if it is by 503."""
    response = await nexus.request("POST", path, body)
    assert response.status == 503, response.body
    message: str = json.loads(response.body)["message"]
    return message


async def test_new_sagas_are_refused_and_those_at_hand_go_on(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        status = await get(nexus, "/quiesce")
        assert status["state"] == {"state": "running"}
        assert status["sagas"]["new_sagas_allowed"] == "allowed"
        made = await post(nexus, "/demo-saga")
        for _ in range(2):
            response = await nexus.request("POST", "/quiesce")
            check_openapi("nexus-lockstep.json", "POST", "/quiesce", response.status, response.body)
        response = await nexus.request("GET", "/quiesce")
        check_openapi("nexus-lockstep.json", "GET", "/quiesce", response.status, response.body)
        status = json.loads(response.body)
        assert status["state"]["state"] == "draining_sagas"
        assert status["sagas"]["new_sagas_allowed"] == "disallowed_quiesce"
        assert [saga["saga_id"] for saga in status["sagas"]["sagas_pending"]] == [made["saga_id"]]
        assert await refused(nexus, "/demo-saga") == REQUESTED
        assert await refused(nexus, "/experimental/sagas", {"name": "demo"}) == REQUESTED
        assert REQUESTED in await refused(nexus, "/experimental/sagas", {"name": "demo", "count": 3})
        await post(nexus, f"/demo-saga/{made['demo_saga_id']}/complete")
        await nexus.eventually("GET", "/sagas", lambda answer: b"succeeded" in answer.body)


def is_quiesced(answer: Response) -> bool:
    quiesced: bool = json.loads(answer.body)["state"]["state"] == "quiesced"
    return quiesced


def recorded(database_url: str) -> dict[UUID, str]:
    with psycopg.connect(database_url) as connection:
        return dict(connection.execute("SELECT nexus_id, state FROM db_metadata_nexus").fetchall())


async def test_a_nexus_that_quiesces_leaves_the_database_alone(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w:
        async with w.nexus() as nexus:
            await w.initialize_rack(nexus)
            await nexus.ready()
            made = await post(nexus, "/demo-saga")
            await post(nexus, "/quiesce")
            await post(nexus, f"/demo-saga/{made['demo_saga_id']}/complete")
            await nexus.eventually("GET", "/quiesce", is_quiesced)
            response = await nexus.request("GET", "/quiesce")
            check_openapi("nexus-lockstep.json", "GET", "/quiesce", response.status, response.body)
            status = json.loads(response.body)
            assert status["db_claims"] == []
            assert status["sagas"]["drained_blueprint_id"] is not None
            response = await nexus.request("GET", TARGET)
            assert (response.status, RETIRED in response.body.decode()) == (503, True)
            assert recorded(database_url) == {FIRST: "quiesced"}
        assert (await w.refusal(FIRST)).startswith(f"Nexus {FIRST} is quiesced: ")


EVERY_SECOND = BackgroundTasksConfig(
    blueprints=BlueprintTasksConfig(
        period_secs_load=1,
        period_secs_plan=1,
        period_secs_execute=1,
        period_secs_watch_expunged=1,
        period_secs_load_reconfigurator_config=1,
    ),
    dns_internal=DnsTasksConfig(period_secs_config=1, period_secs_servers=1, period_secs_propagation=1),
    dns_external=DnsTasksConfig(period_secs_config=1, period_secs_servers=1, period_secs_propagation=1),
    external_endpoints=ExternalEndpointsConfig(period_secs=1),
    saga_recovery=SagaRecoveryConfig(period_secs=1),
    session_cleanup=SessionCleanupConfig(period_secs=1),
)

LONGER_THAN_ANY_PERIOD_S = max(CHECK_PERIOD_S, CLAIM_CHECK_PERIOD_S) + 1


async def test_once_quiesced_it_does_and_says_nothing_of_itself(
    database_url: str, steered_clock: trio.testing.MockClock
) -> None:
    async with world(database_url) as w, w.nexus(background_tasks=EVERY_SECOND) as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        made = await post(nexus, "/demo-saga")
        await post(nexus, "/quiesce")
        await post(nexus, f"/demo-saga/{made['demo_saga_id']}/complete")
        await nexus.eventually("GET", "/quiesce", is_quiesced)
        tasks = await get(nexus, "/bgtasks")
        assert {task["current"]["current_status"] for task in tasks.values()} == {"idle"}
        assert await refused(nexus, "/bgtasks/activate", {"bgtask_names": sorted(tasks)}) == STOPPED
        said = nexus.log_text.getvalue()
        for _ in range(2):
            steered_clock.jump(LONGER_THAN_ANY_PERIOD_S)
            await trio.testing.wait_all_tasks_blocked()
        assert nexus.log_text.getvalue().removeprefix(said) == ""
        assert await get(nexus, "/bgtasks") == tasks


async def test_the_next_generation_takes_over(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        made = await post(first, "/demo-saga")
        await edit_target(first, ADD_NEXT)
        async with w.nexus(NEXT) as new:
            await new.news.wait_for_status(f"the handoff: {FIRST} is not quiesced yet")
            response = await new.request("GET", "/quiesce")
            assert (response.status, b"waiting for the handoff" in response.body) == (503, True)
            await edit_target(first, BUMP)
            await first.eventually("GET", "/quiesce", lambda answer: b"draining_sagas" in answer.body)
            assert "it is of generation 1" in await refused(first, "/demo-saga")
            assert recorded(database_url) == {FIRST: "active", NEXT: "not_yet"}
            assert names(w) == {str(FIRST)}
            await post(first, f"/demo-saga/{made['demo_saga_id']}/complete")
            await new.ready()
            assert recorded(database_url) == {FIRST: "quiesced", NEXT: "active"}
            await post(new, "/demo-saga")
            await eventually(lambda: names(w) == {str(NEXT)})


async def test_who_makes_way_takes_over_first_from_one_that_is_expunged(database_url: str) -> None:
    """Idle as it is, it waits until the other one is known to run no more, and finishes what that had."""
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        async with w.nexus(SECOND) as second:
            await second.ready()
            made = await post(second, "/demo-saga")
            await edit_target(first, ADD_NEXT)
            await edit_target(first, BUMP)
            await edit_target(first, {"edit": "expunge_zone", "zone_id": SECOND})
            await until_logged(
                first,
                "quiescing: waiting",
                f"Nexuses of its generation to be drained: {SECOND} (expunged, and not known to run no more)",
            )
        await post(first, "/bgtasks/activate", {"bgtask_names": ["expunged_zone_watcher"]})
        await first.eventually("GET", "/sagas", lambda answer: made["saga_id"].encode() in answer.body)
        assert recorded(database_url)[FIRST] == "active"
        await post(first, f"/demo-saga/{made['demo_saga_id']}/complete")
        async with w.nexus(NEXT) as new:
            await new.ready()
        assert recorded(database_url) == {FIRST: "quiesced", NEXT: "active"}


async def test_a_generation_takes_over_when_the_target_says_so(database_url: str) -> None:
    """Not before, though the one before it has made way. A Nexus that joins can have the target say so."""
    joining = UUID(int=0x4)
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        await edit_target(first, ADD_NEXT)
        async with w.nexus(NEXT) as new, w.nexus(joining) as joined:
            await new.news.wait_for_status(f"the handoff: {FIRST} is not quiesced yet")
            await joined.ready()
            for old in (first, joined):
                await post(old, "/bgtasks/activate", {"bgtask_names": ["blueprint_loader"]})
                await post(old, "/quiesce")
            await first.eventually("GET", "/quiesce", is_quiesced)
            await joined.eventually("GET", "/quiesce", is_quiesced)
            await new.news.wait_for_status("this one is of generation 2, and in blueprint ")
            async with w.nexus(UUID(int=0x6)) as last:
                await last.ready()
                await edit_target(last, BUMP)
                await new.ready()
        assert recorded(database_url)[NEXT] == "active"


async def test_one_that_joins_late_waits_for_the_handoff_too(database_url: str) -> None:
    """Its turn was to join the first generation, when its address was taken. Meanwhile the next one is to take over."""
    joining, in_its_way = UUID(int=0x4), UUID(int=0x5)
    with reserved_ports() as reserve_port:
        address = SocketAddr("127.0.0.1", reserve_port(["127.0.0.1"]))
        await joins_late(database_url, joining, in_its_way, address)


async def joins_late(database_url: str, joining: UUID, in_its_way: UUID, address: SocketAddr) -> None:
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        made = await post(first, "/demo-saga")
        add = {"edit": "add_nexus_zone", "zone_id": in_its_way, "internal_address": str(address)}
        await edit_target(first, add, ADD_NEXT)
        deployment = w.config(joining, database_url=database_url).deployment
        internal = DropshotConfig(bind_address=str(address))
        deployment = msgspec.structs.replace(deployment, dropshot_internal=internal)
        async with w.nexus(joining, deployment=deployment) as late:
            await late.news.wait_for_status(f"zone {in_its_way} is in service at {address} already")
            await edit_target(first, BUMP)
            await edit_target(first, {"edit": "expunge_zone", "zone_id": in_its_way, "ready_for_cleanup": True})
            await late.news.wait_for_status(f"the handoff: {FIRST} is not quiesced yet")
            await eventually(lambda: recorded(database_url) == {FIRST: "active", NEXT: "not_yet"})
            await post(first, f"/demo-saga/{made['demo_saga_id']}/complete")
            await late.ready()
            assert recorded(database_url) == {FIRST: "quiesced", NEXT: "active", joining: "active"}
            await post(late, "/quiesce")
            await until_logged(late, "quiescing: waiting", f"Nexuses of its generation to be drained: {NEXT}")


async def test_all_of_a_generation_are_drained_before_one_is_quiesced(database_url: str) -> None:
    """As long as one of them runs sagas it may be expunged, and the other has to take them over."""
    async with world(database_url) as w, w.nexus() as first, w.nexus(SECOND) as second:
        await w.initialize_rack(first)
        await first.ready()
        await second.ready()
        await post(first, "/bgtasks/activate", {"bgtask_names": ["blueprint_loader"]})
        made = await post(second, "/demo-saga")
        await post(first, "/quiesce")
        await until_logged(first, "quiescing: waiting", f"Nexuses of its generation to be drained: {SECOND}")
        await post(second, "/quiesce")
        assert recorded(database_url) == {FIRST: "active", SECOND: "active"}
        await post(second, f"/demo-saga/{made['demo_saga_id']}/complete")
        await first.eventually("GET", "/quiesce", is_quiesced)
        await second.eventually("GET", "/quiesce", is_quiesced)


REFUSING = "no new sagas from now on"

NEVER_LOADED_AGAIN = BackgroundTasksConfig(blueprints=BlueprintTasksConfig(period_secs_load=3600))


async def test_an_expunged_nexus_makes_no_new_sagas_whatever_it_knows(database_url: str) -> None:
    """And knows from the first that it is refused."""
    async with (
        world(database_url) as w,
        w.nexus() as first,
        w.nexus(SECOND, background_tasks=NEVER_LOADED_AGAIN) as second,
    ):
        await w.initialize_rack(first)
        await first.ready()
        await second.ready()
        expunged_in = await edit_target(first, {"edit": "expunge_zone", "zone_id": SECOND, "ready_for_cleanup": True})
        status = await get(second, "/quiesce")
        assert status["sagas"]["new_sagas_allowed"] == "allowed"
        reason = f"zone {SECOND}, which is this Nexus, is expunged in blueprint {expunged_in}"
        assert await refused(second, "/demo-saga") == reason
        await second.eventually("GET", "/quiesce", lambda answer: b"disallowed_quiesce" in answer.body)
        status = await get(second, "/quiesce")
        assert (status["state"], status["sagas"]["sagas_pending"]) == ({"state": "running"}, [])
        asked = await second.request("POST", "/quiesce")
        assert asked.status == 409
        assert json.loads(asked.body)["message"].startswith(f"{reason}: it already makes no new sagas")
        assert (await get(second, "/quiesce"))["state"] == {"state": "running"}
        assert await refused(second, "/demo-saga") == reason
        assert [line["reason"] for line in second.log_lines(REFUSING)] == [reason]
        await post(first, "/demo-saga")
