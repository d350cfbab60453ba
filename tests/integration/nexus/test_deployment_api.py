"""Blueprints, target, configuration and sleds through the internal API, against upstream's document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from nexus_lab import FIRST, Nexus, world

from nexus.deployment.edits import NO_NEXUS_LEFT
from simstack.rack_setup import SLED_IDS

if TYPE_CHECKING:
    from openapi_check import OpenApi

ALL = "/deployment/blueprints/all"
TARGET = "/deployment/blueprints/target"
ENABLED = "/deployment/blueprints/target/enabled"
CONFIG = "/deployment/reconfigurator-config"
REGENERATE = "/deployment/blueprints/regenerate"
IMPORT = "/deployment/blueprints/import"
NO_SUCH = UUID("00000000-0000-4000-8000-00000000dead")


class Api:
    """Every answer is held against the document."""

    def __init__(self, nexus: Nexus, check: OpenApi) -> None:
        self._nexus = nexus
        self._check = check

    async def __call__(self, method: str, path: str, body: object = None, *, route: str | None = None) -> Any:
        """The body of a success. `route` is what the document calls the path."""
        return await self._call(method, path, body, route=route, error=False)

    async def refused(self, method: str, path: str, body: object = None, *, route: str | None = None) -> Any:
        """Status, code, message."""
        return await self._call(method, path, body, route=route, error=True)

    async def _call(self, method: str, path: str, body: object, *, route: str | None, error: bool) -> Any:
        response = await self._nexus.request(method, path, body)
        if not path.startswith("/experimental"):
            route = path.partition("?")[0] if route is None else route
            self._check("nexus-lockstep.json", method, route, response.status, response.body)
        assert (response.status >= 400) == error, response.body
        answer: Any = json.loads(response.body) if response.body else None
        return (response.status, answer.get("error_code"), answer["message"]) if error else answer


def one(path: str) -> tuple[str, str]:
    return path, f"{ALL}/{{blueprint_id}}"


async def test_the_first_blueprint_is_listed_shown_and_the_target(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        target = await api("GET", TARGET)
        assert target["enabled"] is True
        page = await api("GET", f"{ALL}?limit=10")
        assert [item["id"] for item in page["items"]] == [target["target_id"]]
        assert await api("GET", f"{ALL}?page_token={page['next_page']}") == {"items": [], "next_page": None}
        path, route = one(f"{ALL}/{target['target_id']}")
        shown = await api("GET", path, route=route)
        assert shown["sleds"].keys() == {str(sled_id) for sled_id in SLED_IDS}
        assert (shown["internal_dns_version"], shown["external_dns_version"]) == (1, 2)
        (zone,) = shown["sleds"][str(SLED_IDS[0])]["zones"]
        assert zone["id"] == str(FIRST)
        assert zone["disposition"] == {"kind": "in_service"}
        path, route = one(f"{ALL}/{NO_SUCH}")
        assert await api.refused("GET", path, route=route) == (
            404,
            "ObjectNotFound",
            f'not found: blueprint with id "{NO_SUCH}"',
        )


async def test_a_zone_is_expunged_by_an_edit_and_the_target_follows(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        first = (await api("GET", TARGET))["target_id"]
        other_id = UUID(int=2)
        edits = [
            {"edit": "add_nexus_zone", "zone_id": other_id, "internal_address": "[::1]:9"},
            {"edit": "expunge_zone", "zone_id": other_id, "ready_for_cleanup": True},
        ]
        made = await api("POST", f"/experimental/blueprints/{first}/edit", {"edits": edits})
        assert made["parent_blueprint_id"] == first
        assert made["comment"] == f"added Nexus zone {other_id}; expunged zone {other_id}"
        assert made["creator"] == str(FIRST)
        (zone,) = made["sleds"][str(SLED_IDS[1])]["zones"]
        assert zone["zone_type"]["external_ip"]["ip"] == "100::1"
        assert zone["disposition"] == {"kind": "expunged", "as_of_generation": 3, "ready_for_cleanup": True}
        path, route = one(f"{ALL}/{made['id']}")
        assert await api("GET", path, route=route) == made

        wanted = {"target_id": made["id"], "enabled": False}
        assert await api.refused("PUT", ENABLED, wanted) == (
            400,
            "InvalidRequest",
            f"Blueprint {made['id']} is not the current target blueprint",
        )
        target = await api("POST", TARGET, wanted)
        assert target == {**wanted, "time_made_target": target["time_made_target"]}
        assert await api("GET", TARGET) == target
        await nexus.eventually(
            "GET", "/bgtasks/view/blueprint_loader", lambda answer: made["id"] in answer.body.decode()
        )
        assert await api.refused("POST", TARGET, wanted) == (
            400,
            "InvalidRequest",
            f"Blueprint {made['id']} is the current target blueprint already; `target enable` and `target disable`"
            " change whether it is executed",
        )
        assert await api.refused("POST", TARGET, {"target_id": first, "enabled": True}) == (
            400,
            "InvalidRequest",
            f"Blueprint {first}'s parent blueprint is not the current target blueprint",
        )
        assert (await api("PUT", ENABLED, {**wanted, "enabled": True}))["enabled"] is True
        assert await api.refused("DELETE", path, route=route) == (
            409,
            "Conflict",
            f"blueprint {made['id']} is the current target and cannot be deleted",
        )
        assert await api.refused("POST", f"/experimental/blueprints/{made['id']}/edit", {"edits": edits[1:]}) == (
            400,
            "InvalidRequest",
            f"zone {other_id} is expunged already",
        )


async def test_an_edit_of_the_target_takes_its_place_or_changes_nothing(
    database_url: str, check_openapi: OpenApi
) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        first = await api("GET", TARGET)
        await api("PUT", ENABLED, {"target_id": first["target_id"], "enabled": False})
        add = {"edit": "add_nexus_zone", "zone_id": UUID(int=2), "internal_address": "[::1]:9"}
        made = await api("POST", "/experimental/blueprints/target/edit", {"edits": [add], "set_target": True})
        target = await api("GET", TARGET)
        assert (target["target_id"], target["enabled"]) == (made["id"], False)
        await nexus.eventually(
            "GET", "/bgtasks/view/blueprint_loader", lambda answer: made["id"] in answer.body.decode()
        )
        bump = {"edits": [{"edit": "bump_nexus_generation"}], "set_target": True}
        for parent, message in (
            (first["target_id"], f"Blueprint {first['target_id']} is not the current target blueprint"),
            ("target", "no Nexus zone of generation 2 is in service: nobody could take over"),
        ):
            refused = await api.refused("POST", f"/experimental/blueprints/{parent}/edit", bump)
            assert refused == (400, "InvalidRequest", message)
        leave_nobody = {"edits": [{"edit": "expunge_zone", "zone_id": FIRST}], "set_target": True}
        _, _, message = await api.refused("POST", "/experimental/blueprints/target/edit", leave_nobody)
        assert message.startswith("the Nexuses that would be left in service have never run, or wait for the handoff, ")
        assert {item["id"] for item in (await api("GET", ALL))["items"]} == {first["target_id"], made["id"]}
        assert await api("GET", TARGET) == target


async def test_a_plan_that_would_leave_nobody_is_refused(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        await api("POST", "/sleds/expunge", {"sled": str(SLED_IDS[0])})
        assert await api.refused("POST", REGENERATE) == (400, "InvalidRequest", NO_NEXUS_LEFT)
        add = {"edit": "add_nexus_zone", "zone_id": UUID(int=2), "internal_address": "[::1]:9"}
        made = await api("POST", "/experimental/blueprints/target/edit", {"edits": [add]})
        assert [zone["id"] for zone in made["sleds"][str(SLED_IDS[1])]["zones"]] == [str(UUID(int=2))]


async def test_an_expunged_sled_is_in_the_next_plan(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        before = await api("POST", REGENERATE)
        assert before["comment"] == "no changes"
        sled = {"sled": str(SLED_IDS[1])}
        assert await api("POST", "/sleds/expunge", sled) == {"kind": "in_service", "provision_policy": "provisionable"}
        assert await api("POST", "/sleds/expunge", sled) == {"kind": "expunged"}
        assert await api.refused("POST", "/sleds/expunge", {"sled": str(NO_SUCH)}) == (
            404,
            "ObjectNotFound",
            f'not found: sled with id "{NO_SUCH}"',
        )
        after = await api("POST", REGENERATE)
        assert after["parent_blueprint_id"] == before["parent_blueprint_id"]
        assert {id: sled["state"] for id, sled in after["sleds"].items()} == {
            str(SLED_IDS[0]): "active",
            str(SLED_IDS[1]): "decommissioned",
        }
        path, route = one(f"{ALL}/{before['id']}")
        assert await api("DELETE", path, route=route) is None
        assert (await api.refused("DELETE", path, route=route))[0] == 404
        assert await api("GET", "/sleds/uninitialized") == {"items": [], "next_page": None}


async def test_a_blueprint_is_imported_once_as_it_is(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        path, route = one(f"{ALL}/{(await api('GET', TARGET))['target_id']}")
        whole = await api("GET", path, route=route)
        other = {**whole, "id": str(NO_SUCH), "parent_blueprint_id": whole["id"]}
        for _ in range(2):
            assert await api("POST", IMPORT, other) is None
        path, route = one(f"{ALL}/{NO_SUCH}")
        assert await api("GET", path, route=route) == other
        assert await api.refused("POST", IMPORT, {**other, "comment": "another"}) == (
            400,
            "ObjectAlreadyExists",
            f'already exists: blueprint "{NO_SUCH}"',
        )
        empty = {**other, "id": str(UUID(int=1)), "sleds": {}}
        assert await api("POST", IMPORT, empty) is None
        status, _, message = await api.refused("POST", TARGET, {"target_id": empty["id"], "enabled": True})
        assert status == 400
        assert message.startswith(f"Blueprint {empty['id']} cannot follow on the current target blueprint: sled ")
        unsound = {**other, "sleds": {key: {**sled, "disks": [{}]} for key, sled in other["sleds"].items()}}
        assert (await api.refused("POST", IMPORT, unsound))[0] == 400


async def test_the_configuration_has_versions(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        api = Api(nexus, check_openapi)
        by_version = f"{CONFIG}/{{version}}"
        first = await api("GET", CONFIG)
        assert (first["version"], first["config"]["planner_enabled"]) == (1, False)
        config = {"planner_enabled": True, "tuf_repo_pruner_enabled": False, "disruption_policy": "migrate_only"}
        assert await api("POST", CONFIG, {"version": 2, "config": config}) is None
        newest = await api("GET", CONFIG)
        assert newest["config"] == {**config, "planner_config": {}}
        assert await api("GET", f"{CONFIG}/2", route=by_version) == newest
        assert await api("GET", f"{CONFIG}/1", route=by_version) == first
        assert await api.refused("GET", f"{CONFIG}/3", route=by_version) == (404, None, "Not Found")
        status, _, message = await api.refused("GET", f"{CONFIG}/x", route=by_version)
        assert (status, message.partition(": ")[0]) == (400, "bad parameter in URL path")
        for version, message in ((2, "version 2 is not the most recent"), (0, "version must be greater than 0")):
            refused = await api.refused("POST", CONFIG, {"version": version, "config": config})
            assert refused == (400, "InvalidRequest", message)
