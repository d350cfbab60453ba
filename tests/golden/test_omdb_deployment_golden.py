"""The omdb commands about blueprints, sleds and DNS versions, which ask a Nexus or the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import psycopg
from blueprint_lab import FIRST_SLED, INITIAL, SECOND_NEXUS, SECOND_SLED, START, added, edited_child
from canned_servers import LOOPBACK, NOT_FOUND, REQUEST_ID, CannedHttp, closed_port, raw_server
from golden_files import check_golden
from omdb_driver import transcript
from redact import Redactor
from stored_rack import THIRD, filled, golden_of_database

from nexus.api.types import ResultsPage
from nexus.deployment.blueprint import Blueprint, BlueprintMetadata, BlueprintTarget
from nexus.deployment.config import INITIAL_CONFIG, ReconfiguratorConfigView
from nexus.deployment.edits import AddNexusZone, BumpNexusGeneration, ExpungeSled, ExpungeZone
from nexus.deployment.reconfigurator_state import PlanningInput, ReconfiguratorState
from nexus.ids import NexusId
from nexus.rack import NexusZone
from omdb.commands.nexus import blueprints_edit

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import pytest

EXPUNGED = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS), number=2)
ENLARGED = edited_child(EXPUNGED, added(THIRD, next_generation=True), BumpNexusGeneration(), number=3)
FOURTH = NexusZone(NexusId(UUID("77777777-0000-4000-8000-000000000004")), FIRST_SLED, "[::1]:12250", "100::4")
SHRUNK = edited_child(ENLARGED, added(FOURTH), ExpungeSled(SECOND_SLED), number=4)
ALL = (INITIAL, EXPUNGED, ENLARGED, SHRUNK)
TARGET = BlueprintTarget(
    target_id=EXPUNGED.id, enabled=True, time_made_target=datetime(2024, 8, 12, 20, 1, 2, 500_000, tzinfo=UTC)
)
BLUEPRINTS = "/deployment/blueprints"
CONFIG = "/deployment/reconfigurator-config"


def metadata(blueprint: Blueprint) -> BlueprintMetadata:
    return msgspec.convert(msgspec.to_builtins(blueprint), BlueprintMetadata)


def refusal(status: int, code: str, message: str) -> tuple[int, object]:
    return status, {"request_id": REQUEST_ID, "error_code": code, "message": message}


def canned_nexus() -> CannedHttp:
    items = [metadata(blueprint) for blueprint in (SHRUNK, INITIAL, ENLARGED, EXPUNGED)]
    canned = CannedHttp(
        {
            f"GET {BLUEPRINTS}/all": (200, ResultsPage(items[:3], "page-1=")),
            f"GET {BLUEPRINTS}/all?page_token=page-1%3D": (200, ResultsPage(items[3:], "page-2=")),
            f"GET {BLUEPRINTS}/all?page_token=page-2%3D": (200, ResultsPage([], None)),
            f"GET {BLUEPRINTS}/target": (200, TARGET),
        }
    )
    for blueprint in ALL:
        canned.answers[f"GET {BLUEPRINTS}/all/{blueprint.id}"] = (200, blueprint)
    return canned


def golden(name: str, text: str) -> None:
    check_golden(f"omdb/{name}.txt", Redactor().redact_ports(text))


def test_blueprints() -> None:
    commands = [
        "nexus blueprints list",
        *(f"nexus blueprints show {which}" for which in (INITIAL.id, "target", SHRUNK.id)),
        "nexus blueprints show 00000000-0000-4000-8000-00000000dead",
        "nexus blueprints show latest",
        "nexus blueprints diff target",
        f"nexus blueprints diff {INITIAL.id}",
        f"nexus blueprints diff {INITIAL.id} {SHRUNK.id} --exit-code",
        f"nexus blueprints diff current-target {EXPUNGED.id} --exit-code",
        f"--color always nexus blueprints diff {EXPUNGED.id} {ENLARGED.id}",
        "nexus blueprints target show",
    ]
    with canned_nexus().serve() as url:
        golden("blueprints", transcript(commands, environ={"OMDB_NEXUS_URL": url}))


def test_blueprints_that_cannot_be_had() -> None:
    canned = CannedHttp(
        {
            f"GET {BLUEPRINTS}/target": refusal(500, "Internal", "Internal Server Error"),
            f"GET {BLUEPRINTS}/all": (200, {"items": [metadata(INITIAL), {"id": "x\x1b[2J"}], "next_page": "t"}),
            f"GET {BLUEPRINTS}/all?page_token=t": (200, {"items": [], "next_page": None}),
            f"GET {BLUEPRINTS}/all/{INITIAL.id}": (200, {"id": INITIAL.id}),
        }
    )
    commands = [
        "nexus blueprints list",
        "nexus blueprints target show",
        "nexus blueprints diff target",
        f"nexus blueprints show {INITIAL.id}",
    ]
    with canned.serve() as url:
        golden("blueprints_trouble", transcript(commands, environ={"OMDB_NEXUS_URL": url}))


def with_second_at(blueprint: Blueprint, address: str) -> bytes:
    """JSON of the blueprint, in which the second Nexus listens there."""
    encoded = msgspec.json.encode(blueprint)
    assert b'"[::1]:12223"' in encoded
    return encoded.replace(b'"[::1]:12223"', msgspec.json.encode(address))


def test_changing_blueprints_and_target(tmp_path: Path) -> None:
    canned = canned_nexus()
    not_target = f"Blueprint {INITIAL.id} is not the current target blueprint"
    canned.answers |= {
        f"POST {BLUEPRINTS}/target": (200, TARGET),
        f"PUT {BLUEPRINTS}/target/enabled": (200, TARGET),
        f"POST {BLUEPRINTS}/regenerate": (200, SHRUNK),
        f"POST {BLUEPRINTS}/import": (204, b""),
        f"DELETE {BLUEPRINTS}/all/{INITIAL.id}": (204, b""),
    }
    (tmp_path / "good.json").write_bytes(msgspec.json.encode(SHRUNK))
    (tmp_path / "bad.json").write_text("{}")
    export = ReconfiguratorState(
        planning_input=PlanningInput(internal_dns_version=1, external_dns_version=2, sleds={}),
        target_blueprint=TARGET,
        blueprints=(msgspec.Raw(msgspec.json.encode(SHRUNK)),),
        reconfigurator_config=None,
        internal_dns={},
        external_dns={},
        silo_names=(),
        external_dns_zone_names=(),
    )
    (tmp_path / "export.json").write_bytes(msgspec.json.encode(export))
    commands = [
        f"nexus blueprints delete {INITIAL.id}",
        f"-w nexus blueprints delete {INITIAL.id}",
        "-w nexus blueprints regenerate",
        f"-w nexus blueprints import {tmp_path}/good.json",
        f"-w nexus blueprints import {tmp_path}/bad.json",
        f"-w nexus blueprints import {tmp_path}/export.json",
        f"-w nexus blueprints import {tmp_path}/none.json",
        f"nexus blueprints target set {ENLARGED.id} enabled",
        f"-w nexus blueprints target set {ENLARGED.id} disabled",
        f"-w nexus blueprints target set {ENLARGED.id} inherit",
        "-w nexus blueprints target enable target",
        f"-w nexus blueprints target disable {EXPUNGED.id}",
    ]
    with canned.serve() as url:
        environ = {"OMDB_NEXUS_URL": url}
        text = transcript(commands, environ=environ)
        changes = [msgspec.json.decode(body) for request, _, body in canned.requests if body]
        assert changes[1:] == [
            {"target_id": str(ENLARGED.id), "enabled": False},
            {"target_id": str(ENLARGED.id), "enabled": True},
            {"target_id": str(EXPUNGED.id), "enabled": True},
            {"target_id": str(EXPUNGED.id), "enabled": False},
        ]
        for typed in (None, "n\n", "y\n"):
            command = f"-w nexus blueprints target set {ENLARGED.id} enabled --diff"
            text += "\n" + transcript([command], environ=environ, typed=typed)
        canned.answers[f"PUT {BLUEPRINTS}/target/enabled"] = refusal(400, "InvalidRequest", not_target)
        text += "\n" + transcript([f"-w nexus blueprints target disable {INITIAL.id}"], environ=environ)
    golden("blueprint_changes", text.replace(str(tmp_path), "DIRECTORY"))


def test_editing_blueprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blueprints_edit, "PING_TIMEOUT_S", 0.2)
    canned = canned_nexus()
    edit = "nexus blueprints edit"
    commands = [
        f"{edit} target expunge-zone {SECOND_NEXUS}",
        f"-w {edit} target expunge-zone {SECOND_NEXUS}",
        f"-w {edit} target expunge-zone a4ef --ready-for-cleanup --set-target --comment gone",
        f"-w {edit} {EXPUNGED.id} mark-for-cleanup A4EF738A",
        f"-w {edit} current bump-nexus-generation",
        f"-w {edit} target add-nexus {THIRD.id} --internal-address {THIRD.internal_address}",
        f"-w {edit} target add-nexus {THIRD.id} --internal-address [::1]:9 --next-generation --set-target",
        f"-w {edit} target expunge-zone {THIRD.id}",
        f"-w {edit} {SHRUNK.id} expunge-zone 7777",
    ]
    expunged = {"edit": "expunge_zone", "zone_id": str(SECOND_NEXUS), "ready_for_cleanup": False}
    of_target, of_id = (f"POST /experimental/blueprints/{parent}/edit" for parent in ("target", EXPUNGED.id))
    second_at = f"GET {BLUEPRINTS}/all/{EXPUNGED.id}"
    canned.answers |= {of_target: (200, ENLARGED), of_id: (200, ENLARGED)}
    with canned.serve() as url, closed_port() as closed, raw_server(say_nothing) as silent:
        environ = {"OMDB_NEXUS_URL": url}
        canned.answers[second_at] = (200, with_second_at(EXPUNGED, f"{LOOPBACK}:{closed}"))
        text = transcript(commands, environ=environ)
        edits = [(request, msgspec.json.decode(body)) for request, _, body in canned.requests if body]
        assert edits == [
            (of_target, {"edits": [expunged], "comment": None, "set_target": False}),
            (
                of_target,
                {"edits": [{**expunged, "ready_for_cleanup": True}], "comment": "gone", "set_target": True},
            ),
            (
                of_id,
                {
                    "edits": [{"edit": "mark_ready_for_cleanup", "zone_id": str(SECOND_NEXUS)}],
                    "comment": None,
                    "set_target": False,
                },
            ),
            (of_target, {"edits": [{"edit": "bump_nexus_generation"}], "comment": None, "set_target": False}),
            *(
                (
                    of_target,
                    {"edits": [msgspec.to_builtins(each)], "comment": None, "set_target": each.next_generation},
                )
                for each in (
                    AddNexusZone(NexusId(THIRD.id), THIRD.internal_address),
                    AddNexusZone(NexusId(THIRD.id), "[::1]:9", next_generation=True),
                )
            ),
        ]
        for address in (url.removeprefix("http://"), f"{LOOPBACK}:{silent}"):
            canned.answers[second_at] = (200, with_second_at(EXPUNGED, address))
            expunge = f"-w {edit} target expunge-zone a4ef --set-target"
            text += "\n" + transcript([expunge, f"{expunge} --ready-for-cleanup"], environ=environ)
        canned.answers[of_target] = refusal(400, "InvalidRequest", f"zone {SECOND_NEXUS} is expunged already")
        text += "\n" + transcript([f"-w {edit} target mark-for-cleanup a4ef"], environ=environ)
    golden("blueprint_edits", text)


def say_nothing(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.recv(1)


def test_usage_errors() -> None:
    zone = str(SECOND_NEXUS)
    commands = [
        "nexus blueprints diff",
        "nexus blueprints diff target later",
        "nexus blueprints target set target enabled",
        f"nexus blueprints target set {INITIAL.id} maybe",
        f"nexus blueprints target set {INITIAL.id}",
        "nexus blueprints edit target",
        "nexus blueprints edit target expunge",
        "nexus blueprints edit target expunge-zone",
        "nexus blueprints edit target expunge-zone 7",
        "nexus blueprints edit target expunge-zone nexus2",
        f"nexus blueprints edit target mark-for-cleanup {zone} --ready-for-cleanup",
        f"nexus blueprints edit target bump-nexus-generation {zone}",
        f"nexus blueprints edit other expunge-zone {zone}",
        "nexus blueprints edit target add-nexus",
        "nexus blueprints edit target add-nexus a4ef",
        f"nexus blueprints edit target add-nexus {zone}",
        f"nexus blueprints edit target add-nexus {zone} --internal-address ::1:12225",
        f"nexus blueprints edit target expunge-zone {zone} --internal-address [::1]:12225",
        f"nexus blueprints edit target mark-for-cleanup {zone} --next-generation",
        "nexus reconfigurator-config show first",
        "nexus reconfigurator-config set",
        "nexus reconfigurator-config set --planner-enabled yes",
        "nexus sleds expunge",
        "nexus blueprints list --db-url postgresql://root@[::1]:5432/omicron",
        "db dns diff",
        "db dns diff inner 1",
        "db dns names internal first",
        "db sleds -F gone",
        "db blueprints show latest",
    ]
    golden("deployment_usage_errors", transcript(commands))


def test_reconfigurator_config() -> None:
    view = ReconfiguratorConfigView(1, INITIAL_CONFIG, START)
    canned = CannedHttp({f"GET {CONFIG}": (200, view), f"GET {CONFIG}/1": (200, view), f"POST {CONFIG}": (204, b"")})
    canned.answers[f"GET {CONFIG}/2"] = (404, {"request_id": REQUEST_ID, "message": "Not Found"})
    set_ = "nexus reconfigurator-config set"
    commands = [
        *(f"nexus reconfigurator-config show {version}" for version in ("current", "latest", "1", "2")),
        f"{set_} --planner-enabled true",
        f"-w {set_} --planner-enabled true --disruption-policy migrate-only",
        f"-w {set_} --planner-enabled false",
    ]
    with canned.serve() as url:
        text = transcript(commands, environ={"OMDB_NEXUS_URL": url})
        (body,) = [body for _, _, body in canned.requests if body]
    changed = {
        "planner_enabled": True,
        "planner_config": {},
        "tuf_repo_pruner_enabled": True,
        "disruption_policy": "migrate_only",
    }
    assert msgspec.json.decode(body) == {"version": 2, "config": changed}
    golden("reconfigurator_config", text)


def test_what_the_database_has(database_url: str) -> None:
    second = edited_child(INITIAL, number=2).id
    commands = [
        "db blueprints list",
        "db blueprints list --fetch-limit 1",
        f"db blueprints show {second}",
        "db blueprints show target",
        "db blueprints show 00000000-0000-4000-8000-00000000dead",
        "db blueprints history",
        "db db-metadata ls-nexus",
        "db db-metadata list-nexus",
        "db sleds",
        "db sleds -F in-service",
        "db dns show",
        "db dns diff internal 2",
        "db dns diff external 3",
        "db dns diff external 9",
        "db dns names internal 1",
        "db dns names external 2",
        "db dns names external 3 --fetch-limit 1",
        "db dns names internal 7",
    ]
    text = transcript(commands, environ=filled(database_url))
    golden_of_database("db_deployment", text, database_url)


def test_records_that_are_not_what_they_should_be(database_url: str) -> None:
    environ = filled(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("""UPDATE blueprint SET contents = contents - 'creator'""")
        connection.execute("""UPDATE dns_name SET dns_record_data = '[{"type": "TXT", "data": "x"}]'""")
    second = edited_child(INITIAL, number=2).id
    commands = ["db blueprints list", f"db blueprints show {second}", "db sleds", "db dns names external 2"]
    commands.append("reconfigurator export nosuch/all.json")
    golden_of_database("db_deployment_odd", transcript(commands, environ=environ), database_url)


def test_a_database_without_a_rack(database_url: str) -> None:
    commands = ["db blueprints list", "db blueprints history", "db db-metadata ls-nexus", "db sleds", "db dns show"]
    commands.append("db blueprints show current-target")
    text = transcript(commands, environ={"OMDB_DB_URL": database_url})
    golden_of_database("db_deployment_empty", text, database_url)


def test_sleds(database_url: str) -> None:
    uninitialized = [
        {"baseboard": {"serial": f"S{cubby}", "part": "i86pc", "revision": 0}, "rack_id": UUID(int=1), "cubby": cubby}
        for cubby in (2, 1)
    ]
    policy = {"kind": "in_service", "provision_policy": "provisionable"}
    canned = CannedHttp(
        {
            "GET /sleds/uninitialized": (200, {"items": uninitialized, "next_page": None}),
            "POST /sleds/expunge": (200, policy),
        }
    )
    environ = filled(database_url)
    expunge = f"nexus sleds expunge {FIRST_SLED}"
    with canned.serve() as url:
        environ["OMDB_NEXUS_URL"] = url
        text = transcript(["nexus sleds list-uninitialized", expunge, f"-w {expunge}"], environ=environ)
        text += "\n" + transcript([f"-w {expunge}"], environ=environ, typed="SimGimlet01\n")
        assert [request for request, _, _ in canned.requests if request.startswith("POST")] == []
        on = msgspec.structs.replace(INITIAL_CONFIG, planner_enabled=True)
        configs: dict[str, tuple[int, object]] = {
            "The planner is off.": (200, ReconfiguratorConfigView(1, INITIAL_CONFIG, START)),
            "It is on.": (200, ReconfiguratorConfigView(2, on, START)),
            "It has no configuration.": (404, NOT_FOUND),
            "Nobody knows.": (503, {"request_id": REQUEST_ID, "message": "the database is away"}),
        }
        for heading, config in configs.items():
            canned.answers["GET /deployment/reconfigurator-config"] = config
            shown = transcript([f"-w {expunge}"], environ=environ, typed="SimGimlet00\n")
            text += f"\n# {heading}\n" + shown
        text += "\n" + transcript([f"-w nexus sleds expunge {UUID(int=9)}"], environ=environ)
        posted = [body for request, _, body in canned.requests if request.startswith("POST")]
        assert posted == [msgspec.json.encode({"sled": FIRST_SLED})] * len(configs)
    golden_of_database("sleds", text, database_url)
