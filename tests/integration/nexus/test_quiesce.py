"""A Nexus quiesces, and another generation takes over: with Nexuses, database and DNS servers in one process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nexus_lab import SECOND, Nexus, world

from nexus.quiesce.sagas import REQUESTED

if TYPE_CHECKING:
    from openapi_check import OpenApi

TARGET = "/deployment/blueprints/target"


async def get(nexus: Nexus, path: str) -> Any:
    response = await nexus.request("GET", path)
    assert response.status == 200, response.body
    return json.loads(response.body)


async def post(nexus: Nexus, path: str, body: object = None) -> Any:
    response = await nexus.request("POST", path, body)
    assert response.status in (200, 204), response.body
    return json.loads(response.body or b"null")


async def edit_target(nexus: Nexus, *edits: dict[str, object]) -> None:
    target = await get(nexus, TARGET)
    child = await post(nexus, f"/experimental/blueprints/{target['target_id']}/edit", {"edits": edits})
    await post(nexus, TARGET, {"target_id": child["id"], "enabled": True})


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


async def test_an_expunged_nexus_makes_no_new_sagas(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first, w.nexus(SECOND) as second:
        await w.initialize_rack(first)
        await first.ready()
        await second.ready()
        await edit_target(first, {"edit": "expunge_zone", "zone_id": SECOND})
        await post(second, "/bgtasks/activate", {"bgtask_names": ["blueprint_loader"]})
        await second.eventually("GET", "/quiesce", lambda answer: b"disallowed_quiesce" in answer.body)
        assert f"zone {SECOND}, which is this Nexus, is expunged" in await refused(second, "/demo-saga")
        await post(first, "/demo-saga")
