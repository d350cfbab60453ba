"""Sagas looked at, broken and released through the API of a Nexus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from nexus_lab import FIRST, Nexus, world

if TYPE_CHECKING:
    from dropshot.client import Response


def message(response: Response) -> str:
    text: str = json.loads(response.body)["message"]
    return text


async def create(nexus: Nexus, **body: object) -> str:
    response = await nexus.request("POST", "/experimental/sagas", {"name": "provision", **body})
    assert response.status == 200, response.body
    (saga_id,) = json.loads(response.body)["saga_ids"]
    assert isinstance(saga_id, str)
    return saga_id


async def details(nexus: Nexus, saga_id: str) -> dict[str, Any]:
    response = await nexus.request("GET", f"/experimental/sagas/{saga_id}")
    assert response.status == 200, response.body
    saga: dict[str, Any] = json.loads(response.body)
    return saga | {"nodes": {node["name"]: node for node in saga["nodes"]}}


async def until_held(nexus: Nexus, saga_id: str, node: str) -> None:
    def is_held(response: Response) -> bool:
        return any(each["held"] and each["name"] == node for each in json.loads(response.body)["nodes"])

    await nexus.eventually("GET", f"/experimental/sagas/{saga_id}", is_held)


async def test_a_saga_is_looked_at_broken_and_released(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        never = {"kind": "fail", "node_name": "name", "call": "undo"}
        saga_id = await create(nexus, params={"hold": ["disk"]}, injections=[never])
        path = f"/experimental/sagas/{saga_id}"
        await until_held(nexus, saga_id, "disk")

        saga = await details(nexus, saga_id)
        assert (saga["name"], saga["sec_id"], saga["claim"]) == ("provision", str(FIRST), 1)
        assert saga["state"] == {"state": "running"}
        assert saga["params"] == {"hold": ["disk"], "fail": [], "fail_undo": []}
        (created,) = saga["history"]
        assert (created["claim"], created["sec_id"], created["reason"]) == (1, str(FIRST), "created")
        disk, attachment = saga["nodes"]["disk"], saga["nodes"]["attachment"]
        assert (disk["status"], disk["held"], disk["since"] is None) == ("started", True, False)
        assert (attachment["status"], "disk" in attachment["waiting_on"]) == ("never_started", True)

        too_late = await nexus.request(
            "POST", f"{path}/inject", {"kind": "fail", "node_name": "disk", "call": "action"}
        )
        assert (too_late.status, message(too_late)) == (
            409,
            'it is too late to fail the action of "disk": the node\'s status is "started"',
        )
        for body in ({"kind": "fial"}, {"kind": "crash_at", "node_name": "disk", "event": "ended", "when": "after"}):
            assert (await nexus.request("POST", f"{path}/inject", body)).status == 400
        early = await nexus.request("POST", f"{path}/release", {"node_name": "server"})
        assert json.loads(early.body) == {"node_names": ["server"], "held": False}
        fail = {"kind": "fail", "node_name": "attachment", "call": "action"}
        assert (await nexus.request("POST", f"{path}/inject", fail)).status == 204
        released = await nexus.request("POST", f"{path}/release", {})
        assert json.loads(released.body) == {"node_names": ["disk"], "held": True}
        await nexus.eventually("GET", f"/sagas/{saga_id}", lambda answer: b'"injected_error"' in answer.body)

        saga = await details(nexus, saga_id)
        assert saga["state"]["error_node_name"] == "attachment"
        assert saga["nodes"]["disk"]["status"] == "undo_finished"
        assert saga["nodes"]["name"]["waiting_on"] == []
        assert saga["injections"] == [{"injection": fail, "fired": True}, {"injection": never, "fired": False}]
        (reported,) = nexus.log_lines("injection never fired")
        assert reported["injection"] == 'fail the undo of "name"'

        refused = await nexus.request("POST", f"{path}/inject", fail)
        assert (refused.status, message(refused)) == (409, f"saga {saga_id} does not run here: it has ended")
        assert (await nexus.request("POST", f"{path}/release", {})).status == 409
        nobody = UUID(int=1)
        for method, route_path in (("GET", ""), ("POST", "/inject"), ("POST", "/release")):
            unknown = await nexus.request(method, f"/experimental/sagas/{nobody}{route_path}", fail)
            assert (unknown.status, message(unknown)) == (404, f'not found: saga-dbg with id "{nobody}"')
