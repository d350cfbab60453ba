"""Sagas made by name, through the API of a Nexus: built-in ones and those of a module of the user's own."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from nexus_lab import world

from nexus.config import SagasConfig
from nexus.server import StartupError

if TYPE_CHECKING:
    from pathlib import Path

    from dropshot.client import Response

SOURCE = """
import msgspec
from nexus.saga import Action, DagBuilder
from nexus.sagas.saga_types import SagaType

class Greeting(msgspec.Struct):
    to: str

async def greet(context):
    return f"hello {context.params.to}"

GREET = Action("greeting.greet", greet, params=Greeting)

def dag(params):
    return DagBuilder("greeting").append(GREET.node("greeted")).build(params)

def broken(params):
    raise RuntimeError("boom")

SAGA_TYPES = [SagaType("greeting", Greeting, dag, [GREET]), SagaType("broken", Greeting, broken, [GREET])]
"""


def message(response: Response) -> str:
    text: str = json.loads(response.body)["message"]
    return text


async def test_sagas_by_name(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_greetings.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    async with world(database_url) as w, w.nexus(sagas=SagasConfig(modules=("my_greetings",))) as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        types = {
            each["name"]: each for each in json.loads((await nexus.request("GET", "/experimental/saga-types")).body)
        }
        assert types["demo"]["nodes"][0]["name"] == "demo_wait"
        assert types["greeting"]["nodes"] is None

        wanted = {"name": "greeting", "params": {"to": "you"}, "count": 3}
        response = await nexus.request("POST", "/experimental/sagas", wanted)
        assert response.status == 200
        saga_ids = json.loads(response.body)["saga_ids"]
        assert len(set(saga_ids)) == 3
        for saga_id in saga_ids:
            await nexus.eventually("GET", f"/sagas/{saga_id}", lambda answer: b'"succeeded"' in answer.body)

        for body, text in (
            ({"name": "greting", "params": {}}, 'the nearest known one is "greeting"'),
            ({"name": "greeting", "params": {"to": 3}}, "params.to: Expected `str`, got `int`"),
            ({"name": "greeting"}, 'sagas of type "greeting" need parameters'),
            ({"name": "broken", "params": {"to": "you"}}, 'saga type "broken": dag() raised RuntimeError: boom'),
            ({"name": "demo", "count": 0}, "count: Expected `int` >= 1"),
            ({"name": "demo", "count": 10_001}, "count: Expected `int` <= 10000"),
        ):
            refused = await nexus.request("POST", "/experimental/sagas", body)
            assert refused.status == 400
            assert text in message(refused)
        (logged,) = nexus.log_lines("saga type failed")
        assert logged["saga_type"] == "broken"
        assert "Traceback" in str(logged)
    sys.modules.pop("my_greetings")


UNENDING = SOURCE.replace('return f"hello {context.params.to}"', "import trio; await trio.sleep_forever()")


async def test_sagas_whose_code_is_gone_are_listed_as_waiting(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_unending.py").write_text(UNENDING)
    monkeypatch.syspath_prepend(tmp_path)
    path = "/experimental/waiting-sagas"
    async with world(database_url) as w:
        async with w.nexus(sagas=SagasConfig(modules=("my_unending",))) as nexus:
            await w.initialize_rack(nexus)
            await nexus.ready()
            wanted = {"name": "greeting", "params": {"to": "you"}}
            (saga_id,) = json.loads((await nexus.request("POST", "/experimental/sagas", wanted)).body)["saga_ids"]
            await nexus.request("POST", "/experimental/sagas", {"name": "demo"})
            assert json.loads((await nexus.request("GET", path)).body) == []
        async with w.nexus() as nexus:
            await nexus.ready()
            await nexus.recovered()
            reason = "actions not registered here: greeting.greet"
            assert json.loads((await nexus.request("GET", path)).body) == [{"id": saga_id, "waiting_for": reason}]
    sys.modules.pop("my_unending")


async def test_only_so_many_finished_sagas_stay_in_memory(database_url: str) -> None:
    async with world(database_url) as w, w.nexus(sagas=SagasConfig(finished_in_memory=2)) as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        ids: list[str] = []
        for _ in range(3):
            created = await nexus.request("POST", "/experimental/sagas", {"name": "provision"})
            ids += json.loads(created.body)["saga_ids"]
            await nexus.eventually("GET", f"/sagas/{ids[-1]}", lambda answer: b'"succeeded"' in answer.body)
        listed = json.loads((await nexus.request("GET", "/sagas")).body)
        assert sorted(saga["id"] for saga in listed["items"]) == sorted(ids[1:])


async def test_a_module_that_is_not_there_is_said_at_start(database_url: str) -> None:
    refusal = pytest.RaisesExc(StartupError, match=r"saga module no\.such\.module cannot be imported")
    with pytest.RaisesGroup(refusal, flatten_subgroups=True):
        async with world(database_url) as w, w.nexus(sagas=SagasConfig(modules=("no.such.module",))) as nexus:
            await nexus.ready()
