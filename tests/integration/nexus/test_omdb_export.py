"""What `omdb reconfigurator export` saves, given back to a Nexus."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import trio
from nexus_lab import world
from omdb_driver import Outcome, omdb

if TYPE_CHECKING:
    from pathlib import Path

ALL = "/deployment/blueprints/all"


async def test_a_blueprint_that_was_deleted_is_imported_from_an_export(database_url: str, tmp_path: Path) -> None:
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()

        async def run(*arguments: str) -> Outcome:
            environ = {"OMDB_DB_URL": w.database_url, "OMDB_NEXUS_URL": f"http://{await nexus.internal()}"}
            outcome = await trio.to_thread.run_sync(partial(omdb, *arguments, environ=environ))
            assert outcome.code == 0, outcome.stderr
            return outcome

        made = json.loads((await nexus.request("POST", "/deployment/blueprints/regenerate")).body)
        target = json.loads((await nexus.request("GET", "/deployment/blueprints/target")).body)
        await run("reconfigurator", "export", f"{tmp_path}/state.json")
        state = json.loads((tmp_path / "state.json").read_bytes())
        assert state["target_blueprint"] == target
        assert [blueprint["id"] for blueprint in state["blueprints"]] == [made["id"], target["target_id"]]

        await run("-w", "nexus", "blueprints", "delete", made["id"])
        (tmp_path / "blueprint.json").write_text(json.dumps(state["blueprints"][0]))
        await run("-w", "nexus", "blueprints", "import", f"{tmp_path}/blueprint.json")
        assert json.loads((await nexus.request("GET", f"{ALL}/{made['id']}")).body) == made
