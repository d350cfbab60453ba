"""A Nexus from start to stop: what it waits for, what it serves meanwhile, what it survives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import psycopg
import pytest
import trio
from database_proxy import proxied
from nexus_lab import FIRST, SECOND, Nexus, world

from dropshot import client
from dropshot.address import SocketAddr
from dropshot.exception_groups import leaves
from nexus.config import DropshotConfig
from nexus.server import StartupError
from simstack.dns.config import SRV
from simstack.rack_setup import PRIVILEGED_PASSWORD, PRIVILEGED_USER, RACK_ID, SILO_NAME, SLED_IDS

if TYPE_CHECKING:
    from openapi_check import OpenApi

DOCUMENT = "nexus-lockstep.json"


def message(response: client.Response) -> str:
    text: str = json.loads(response.body)["message"]
    return text


def complete_path(demo: dict[str, str]) -> str:
    return f"/demo-saga/{demo['demo_saga_id']}/complete"


async def wait_for_saga(nexus: Nexus, saga_id: str, state: str) -> None:
    await nexus.eventually(
        "GET", f"/sagas/{saga_id}", lambda answer: json.loads(answer.body)["state"]["state"] == state
    )


async def test_waits_for_rack_and_dns_and_says_so(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        assert (await nexus.request("GET", "/v1/ping")).body == b'{"status":"ok"}'
        await nexus.news.wait_for_status("rack initialization")
        for method, path in (("GET", "/sagas"), ("GET", "/bgtasks"), ("POST", "/demo-saga")):
            refused = await nexus.request(method, path)
            assert refused.status == 503
            assert json.loads(refused.body)["error_code"] == "ServiceNotAvailable"
            assert "waiting for" in message(refused)
            assert "rack initialization" in message(refused)
        with pytest.raises(client.ClientError, match="Connection refused"):
            await client.request(await nexus.external(), "GET", "/v1/ping", timeout_s=5)
        assert "READY" not in nexus.news.values

        await w.initialize_rack(nexus)
        await nexus.ready()
        assert (await nexus.request("GET", "/sagas")).body == b'{"items":[],"next_page":null}'
        assert (await nexus.ask(await nexus.external(), "GET", "/v1/ping")).body == b'{"status":"ok"}'
        listening = [(line["component"], line["local_addr"]) for line in nexus.log_lines("listening")]
        assert listening == [
            ("dropshot_internal", str(await nexus.internal())),
            ("dropshot_external", str(await nexus.external())),
        ]
        assert all(line["name"] == str(FIRST) for line in nexus.log_lines("listening"))
        assert nexus.news.values["STATUS"] == "ready"


async def test_waits_for_the_database_and_its_schema(database_url: str) -> None:
    async with proxied(database_url) as (proxy, url), world(url) as w:
        await proxy.stop()
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE db_metadata RENAME TO hidden")
            address = f"127.0.0.1:{proxy.port}"
            async with w.nexus(database_url=f"postgresql://root@{address}/{connection.info.dbname}") as nexus:
                await nexus.news.wait_for_status(f"the database, as the database at {address} cannot be reached: ")
                await proxy.start()
                await nexus.news.wait_for_status(f"the schema of the database at {address}")
                connection.execute("ALTER TABLE hidden RENAME TO db_metadata")
                connection.execute("UPDATE db_metadata SET schema_version = 0")
                await nexus.news.wait_for_status(f"schema version 1 of the database at {address}, which has version 0")
                connection.execute("UPDATE db_metadata SET schema_version = 1")
                await w.initialize_rack(nexus)
                await nexus.ready()


async def test_answers_are_as_upstreams_document_says(database_url: str, check_openapi: OpenApi) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        await nexus.recovered()

        async def check(method: str, route: str, path: str, status: int, body: object = None) -> bytes:
            response = await nexus.request(method, path, body)
            assert response.status == status, response.body
            check_openapi(DOCUMENT, method, route, status, response.body)
            return response.body

        demo = json.loads(await check("POST", "/demo-saga", "/demo-saga", 200))
        await check("GET", "/v1/ping", "/v1/ping", 200)
        await check("GET", "/sagas", "/sagas?limit=1", 200)
        await check("GET", "/sagas", "/sagas?limit=0", 400)
        await check("GET", "/sagas/{saga_id}", f"/sagas/{demo['saga_id']}", 200)
        await check("GET", "/sagas/{saga_id}", f"/sagas/{UUID(int=0)}", 404)
        complete = "/demo-saga/{demo_saga_id}/complete"
        await check("POST", complete, f"/demo-saga/{demo['demo_saga_id']}/complete", 204)
        await check("POST", complete, f"/demo-saga/{UUID(int=0)}/complete", 404)
        await check("POST", complete, "/demo-saga/x/complete", 400)
        tasks = json.loads(await check("GET", "/bgtasks", "/bgtasks", 200))
        assert list(tasks) == sorted(tasks)
        assert "saga_recovery" in tasks
        for name in tasks:
            await check("GET", "/bgtasks/view/{bgtask_name}", f"/bgtasks/view/{name}", 200)
        await check("GET", "/bgtasks/view/{bgtask_name}", "/bgtasks/view/x", 404)
        activate = "/bgtasks/activate"
        await check("POST", activate, activate, 204, {"bgtask_names": []})
        await check("POST", activate, activate, 204, {"bgtask_names": ["saga_recovery", "saga_recovery"]})
        await check("POST", activate, activate, 404, {"bgtask_names": ["saga_recovery", "y", "x"]})
        await check("POST", activate, activate, 400, {"bgtask_names": "saga_recovery"})


async def test_texts_of_refusals(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        nobody = UUID(int=1)
        await nexus.recovered()
        for method, path, body, code, text in (
            ("GET", f"/sagas/{nobody}", None, "ObjectNotFound", f'not found: saga-dbg with id "{nobody}"'),
            ("GET", "/bgtasks/view/x", None, "ObjectNotFound", 'not found: background-task with name "x"'),
            (
                "POST",
                "/bgtasks/activate",
                {"bgtask_names": ["b", "saga_recovery", "a"]},
                "ObjectNotFound",
                "not found: background tasks: a, b",
            ),
            (
                "POST",
                f"/demo-saga/{nobody}/complete",
                None,
                "Not Found",
                f"demo saga with demo saga id {nobody} (demo_saga)",
            ),
        ):
            response = await nexus.request(method, path, body)
            assert response.status == 404
            assert list(json.loads(response.body)) == ["request_id", "error_code", "message"]
            assert (json.loads(response.body)["error_code"], message(response)) == (code, text)


async def test_sagas_are_listed_page_by_page_in_id_order(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        made = sorted([json.loads((await nexus.request("POST", "/demo-saga")).body)["saga_id"] for _ in range(5)])
        pages: list[list[str]] = []
        path = "/sagas?limit=2"
        while True:
            page = json.loads((await nexus.request("GET", path)).body)
            pages.append([item["id"] for item in page["items"]])
            if page["next_page"] is None:
                break
            path = f"/sagas?limit=2&page_token={page['next_page']}"
        assert pages == [made[:2], made[2:4], made[4:], []]


async def test_a_saga_outlives_its_process(database_url: str) -> None:
    async with world(database_url) as w:
        async with w.nexus() as first:
            await w.initialize_rack(first)
            await first.ready()
            done, waiting = [json.loads((await first.request("POST", "/demo-saga")).body) for _ in range(2)]
            assert (await first.request("POST", complete_path(done))).status == 204
            await wait_for_saga(first, done["saga_id"], "succeeded")
        async with w.nexus() as second:
            await second.ready()
            await second.eventually("POST", complete_path(waiting), lambda answer: answer.status != 503)
            await wait_for_saga(second, waiting["saga_id"], "succeeded")
            listed = json.loads((await second.request("GET", "/sagas")).body)["items"]
            assert [item["id"] for item in listed] == [waiting["saga_id"]], "the finished one is not recovered"
        with psycopg.connect(database_url) as connection:
            events = connection.execute(
                "SELECT event_type, count(*) FROM saga_node_event WHERE saga_id = %s AND node_id = 0 GROUP BY 1",
                (waiting["saga_id"],),
            ).fetchall()
        assert dict(events) == {"started": 1, "succeeded": 1}


async def test_an_outage_of_the_database_ends_nothing(database_url: str) -> None:
    async with proxied(database_url) as (proxy, _), world(database_url) as w:
        name = database_url.rpartition("/")[2]
        async with w.nexus(database_url=f"postgresql://root@127.0.0.1:{proxy.port}/{name}") as nexus:
            await w.initialize_rack(nexus)
            await nexus.ready()
            demo = json.loads((await nexus.request("POST", "/demo-saga")).body)
            await proxy.stop()
            for method, path in (
                ("POST", "/demo-saga"),
                ("POST", complete_path(demo)),
            ):
                refused = await nexus.request(method, path)
                assert (refused.status, json.loads(refused.body)["error_code"]) == (503, "ServiceNotAvailable")
                assert "database" in message(refused)
            assert (await nexus.request("GET", "/sagas")).status == 200
            await nexus.request("POST", "/bgtasks/activate", {"bgtask_names": ["dns_config_internal"]})
            await proxy.start()
            await nexus.eventually("POST", complete_path(demo), lambda answer: answer.status == 204)
            await wait_for_saga(nexus, demo["saga_id"], "succeeded")
            assert (await nexus.request("POST", "/demo-saga")).status == 200


async def test_logging_in_and_out(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        external = await nexus.external()
        login = f"/v1/login/{SILO_NAME}/local"
        right = {"username": PRIVILEGED_USER, "password": PRIVILEGED_PASSWORD}
        for path, body in (
            (login, {**right, "password": "wrong"}),
            (login, {**right, "username": "nobody"}),
            (login, {**right, "password": "x" * 1000}),
            ("/v1/login/no-such-silo/local", right),
            (login, {**right, "username": "a\0b"}),
            (login, {**right, "username": "a" * 100_000}),
            ("/v1/login/a%00b/local", right),
        ):
            refused = await nexus.ask(external, "POST", path, body)
            assert (refused.status, message(refused)) == (401, "credentials missing or invalid")
            assert refused.header("set-cookie") is None
        assert (await nexus.ask(external, "POST", login, {"username": 1})).status == 400
        assert (await nexus.ask(external, "GET", "/v1/me")).status == 401

        accepted = await nexus.ask(external, "POST", login, right)
        assert accepted.status == 204
        cookie = accepted.header("set-cookie") or ""
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400")
        token = cookie.removeprefix("session=").partition(";")[0]
        me = json.loads((await nexus.ask(external, "GET", "/v1/me", cookie=token)).body)
        assert (me["display_name"], me["silo_name"]) == (PRIVILEGED_USER, SILO_NAME)
        with psycopg.connect(database_url) as connection:
            (stored,) = connection.execute("SELECT token_hash FROM console_session").fetchall()
        assert token.encode() not in stored[0]
        assert bytes.fromhex(token) != stored[0]

        assert (await nexus.ask(external, "POST", "/v1/logout", cookie=token)).status == 204
        assert (await nexus.ask(external, "GET", "/v1/me", cookie=token)).status == 401
        assert (await nexus.ask(external, "POST", "/v1/logout")).status == 204
        for secret in (PRIVILEGED_PASSWORD + '"', token, "$argon2id$"):
            assert secret not in nexus.log_text.getvalue()


@pytest.mark.parametrize(
    ("change", "is_valid"),
    [
        ("time_last_used = time_last_used - interval '479 minutes'", True),
        ("time_last_used = time_last_used - interval '481 minutes'", False),
        ("time_created = time_created - interval '1441 minutes'", False),
    ],
)
async def test_a_session_ends_by_idling_and_by_age(database_url: str, change: str, is_valid: bool) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        external = await nexus.external()
        credentials = {"username": PRIVILEGED_USER, "password": PRIVILEGED_PASSWORD}
        accepted = await nexus.ask(external, "POST", f"/v1/login/{SILO_NAME}/local", credentials)
        token = (accepted.header("set-cookie") or "").removeprefix("session=").partition(";")[0]
        with psycopg.connect(database_url) as connection:
            connection.execute(f"UPDATE console_session SET {change}".encode())
        for _ in range(2):
            assert (await nexus.ask(external, "GET", "/v1/me", cookie=token)).status == (200 if is_valid else 401)


async def test_rack_initialization_is_one_transaction_and_idempotent(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        handoff = await w.handoff(nexus)
        path = f"/racks/{RACK_ID}/initialization-complete"
        twice_named = [*handoff["nexus_zones"], *handoff["nexus_zones"]]
        for part, bad in (
            ("nexus_zones", []),
            ("nexus_zones", twice_named),
            ("sleds", handoff["sleds"][1:]),
            ("sleds", [*handoff["sleds"], *handoff["sleds"]]),
            ("external_dns_zone_name", "a\0b"),
            ("recovery_silo", {**handoff["recovery_silo"], "user_password_hash": "oxide"}),
            ("recovery_silo", {**handoff["recovery_silo"], "silo_name": "Not a name"}),
            (
                "internal_dns_zone_config",
                msgspec.structs.replace(handoff["internal_dns_zone_config"], generation=2),
            ),
        ):
            assert (await nexus.request("PUT", path, {**handoff, part: bad})).status == 400
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) FROM silo").fetchone() == (0,), "nothing of it was kept"

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(w.initialize_rack, nexus)
        await nexus.ready()
        other = await nexus.request("PUT", f"/racks/{UUID(int=5)}/initialization-complete", handoff)
        assert (other.status, message(other)) == (
            409,
            f"this database belongs to rack {RACK_ID}, not to {UUID(int=5)}",
        )
        with psycopg.connect(database_url) as connection:
            versions = connection.execute(
                "SELECT dns_group, version, creator, comment FROM dns_version ORDER BY 1, 2"
            ).fetchall()
            counts = [
                connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
                for table in ("rack", "silo", "silo_user", "silo_user_password_hash", "dns_zone")
            ]
            target = connection.execute(
                """
                SELECT version, enabled, parent_blueprint_id, comment
                FROM bp_target JOIN blueprint ON blueprint.id = blueprint_id
                """
            ).fetchall()
            states = connection.execute("SELECT * FROM db_metadata_nexus").fetchall()
            sleds = connection.execute("SELECT id, serial_number, sled_policy FROM sled ORDER BY 2").fetchall()
            configs = connection.execute(
                "SELECT version, planner_enabled, disruption_policy FROM reconfigurator_config"
            ).fetchall()
        assert versions == [
            ("external", 1, str(FIRST), "rack setup"),
            ("external", 2, str(FIRST), f'create silo: "{SILO_NAME}"'),
            ("internal", 1, str(FIRST), "rack setup"),
        ]
        assert counts == [(1,), (1,), (1,), (1,), (2,)]
        assert target == [(1, True, None, "initial test blueprint")]
        assert states == [(FIRST, None, "active")]
        assert sleds == [(SLED_IDS[0], "SimGimlet00", "in_service"), (SLED_IDS[1], "SimGimlet01", "in_service")]
        assert configs == [(1, False, "terminate")]


async def test_another_nexus_gets_into_dns_and_one_that_moves_is_found_again(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        async with w.nexus(SECOND) as second:
            await second.ready()
            await w.internal.wait_generation(2)
            changes = second.log_lines("nexus zone in service")[0]["changes"]
            added = f"(added Nexus zone {SECOND}), internal DNS version 2, external DNS version 3"
            assert changes.startswith("blueprint ")
            assert changes.endswith(added)
            before = await second.internal()
        async with w.nexus(SECOND) as second:
            await second.ready()
            await w.internal.wait_generation(3)
            after = await second.internal()
            assert after != before
        with psycopg.connect(database_url) as connection:
            targets = connection.execute(
                """
                SELECT version, enabled, creator, comment
                FROM bp_target JOIN blueprint ON blueprint.id = blueprint_id ORDER BY version
                """
            ).fetchall()
        assert targets == [
            (1, True, "nexus-test-utils", "initial test blueprint"),
            (2, True, str(SECOND), f"added Nexus zone {SECOND}"),
            (3, True, str(SECOND), f"moved Nexus zone {SECOND} to {after}"),
        ]
        (zone,) = w.internal.config.zones
        assert {record.data.port for record in zone.records["_nexus._tcp"] if isinstance(record, SRV)} == {
            (await first.internal()).port,
            after.port,
        }
        assert zone.records["_nexus._tcp"] == zone.records["_nexus-lockstep._tcp"]
        assert [record.data for record in zone.records[f"{SECOND}.host"]] == ["127.0.0.1"]
        await w.external.wait_generation(2)
        (external_zone,) = w.external.config.zones
        assert [record.data for record in external_zone.records[f"{SILO_NAME}.sys"]] == ["127.0.0.1", "100::1"]


async def test_an_expunged_nexus_ends_and_says_why(database_url: str) -> None:
    async with world(database_url) as w, w.nexus() as first:
        await w.initialize_rack(first)
        await first.ready()
        async with w.nexus(SECOND) as second:
            await second.ready()
        target = json.loads((await first.request("GET", "/deployment/blueprints/target")).body)["target_id"]
        edits = {"edits": [{"edit": "expunge_zone", "zone_id": SECOND, "ready_for_cleanup": True}]}
        made = json.loads((await first.request("POST", f"/experimental/blueprints/{target}/edit", edits)).body)["id"]
        wanted = {"target_id": made, "enabled": True}
        assert (await first.request("POST", "/deployment/blueprints/target", wanted)).status == 200
        with pytest.raises(ExceptionGroup) as caught:
            async with w.nexus(SECOND):
                await trio.sleep_forever()
        (ended,) = leaves(caught.value)
        assert isinstance(ended, StartupError)
        assert str(ended).startswith(f"this Nexus is expunged, and never comes back: zone {SECOND} is expunged in ")
        assert str(ended).endswith("a new Nexus needs another id (deployment.id)")


async def test_a_database_of_another_rack_is_waited_out(database_url: str) -> None:
    async with world(database_url) as w:
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO rack (id, time_initialized, external_dns_zone) VALUES (%s, now(), 'x')", (UUID(int=5),)
            )
        async with w.nexus() as nexus:
            await nexus.news.wait_for_status(f"belongs to rack {UUID(int=5)}")


async def test_the_lockstep_section_serves_the_same_again(database_url: str) -> None:
    async with world(database_url) as w:
        config = w.config(FIRST, database_url=database_url)
        deployment = msgspec.structs.replace(
            config.deployment, dropshot_lockstep=DropshotConfig(bind_address="127.0.0.1:0")
        )
        async with w.nexus(deployment=deployment) as nexus:
            await w.initialize_rack(nexus)
            await nexus.ready()
            listening = {line["component"]: line["local_addr"] for line in nexus.log_lines("listening")}
            lockstep = SocketAddr.parse(listening["dropshot_lockstep"])
            assert lockstep != await nexus.internal()
            made = json.loads((await nexus.ask(lockstep, "POST", "/demo-saga")).body)
            assert made["saga_id"] in (await nexus.request("GET", "/sagas")).body.decode()


@pytest.mark.parametrize("server", ["dropshot_internal", "dropshot_external"])
async def test_a_taken_address_is_one_line(database_url: str, server: str) -> None:
    (taken,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = SocketAddr(*taken.socket.getsockname()[:2])
    async with taken, world(database_url) as w:
        config = w.config(FIRST, database_url=database_url)
        changed = msgspec.structs.replace(getattr(config.deployment, server), bind_address=str(address))
        deployment = msgspec.structs.replace(config.deployment, **{server: changed})
        with pytest.raises(ExceptionGroup) as caught:
            async with w.nexus(deployment=deployment):
                await trio.sleep_forever()
        group: BaseException = caught.value
        while isinstance(group, BaseExceptionGroup):
            (group,) = group.exceptions
        assert isinstance(group, StartupError)
        assert str(group).startswith(f"cannot listen on {address}: in use")


async def test_what_is_not_simulated_is_said_once(database_url: str) -> None:
    async with world(database_url) as w:
        keys = ("authn", "mgd", "background_tasks.fm", "background_tasks.inventory")
        async with w.nexus(not_simulated=keys) as nexus:
            await nexus.news.wait_for_status("waiting")
            (line,) = nexus.log_lines("not simulated, so not looked at in the configuration")
            assert line["keys"] == "authn, mgd, background_tasks (2 of them)"
