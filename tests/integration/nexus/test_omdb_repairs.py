"""Sagas that are repaired by hand with omdb, and what the Nexus that ran them makes of it."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import trio
from nexus_lab import FIRST, Nexus, World, world
from omdb_driver import Outcome, omdb

if TYPE_CHECKING:
    from dropshot import client

NODE_NAME = "demo_wait"
ERROR = {"ActionFailed": {"source_error": {"message": "error injected with omdb"}}}


async def create_demo(nexus: Nexus) -> tuple[str, str]:
    """The ids of a saga that waits: of the saga, and of the demo saga."""
    demo = json.loads((await nexus.request("POST", "/demo-saga")).body)
    return demo["saga_id"], demo["demo_saga_id"]


async def run(w: World, *arguments: str) -> Outcome:
    """omdb, and `y` to what it asks."""
    environ = {"OMDB_DB_URL": w.database_url, "OMDB_DNS_SERVER": str(w.internal_dns.dns_address)}
    return await trio.to_thread.run_sync(partial(omdb, *arguments, environ=environ, typed="y\n"))


async def wait_for_waiting(w: World, saga_id: str) -> None:
    """Until its action has begun."""
    while "demo.demo_wait | started" not in (await run(w, "db", "saga", "show", saga_id)).stdout:
        await trio.lowlevel.checkpoint()


def claims(shown: str) -> list[str]:
    """The reasons of the claims, in their order."""
    return re.findall(r"^ \d+ +\| [0-9T:.Z-]+ \| (\w+)", shown, re.MULTILINE)


async def recovery_pass(nexus: Nexus) -> dict[str, Any]:
    """The report of a pass that ends from now on."""

    async def last() -> dict[str, Any]:
        answer = await nexus.request("GET", "/bgtasks/view/saga_recovery")
        details: dict[str, Any] = json.loads(answer.body)["last"]["details"]
        return details

    before = (await last())["iteration"]
    await nexus.request("POST", "/bgtasks/activate", {"bgtask_names": ["saga_recovery"]})
    while (now := await last())["iteration"] == before:
        await trio.lowlevel.checkpoint()
    report: dict[str, Any] = now["details"]
    return report


def recovery_is_over(answer: client.Response) -> bool:
    return b'"last_pass":{"Success"' in answer.body


async def test_an_error_that_is_injected_while_nexus_is_away(database_url: str) -> None:
    async with world(database_url) as w:
        async with w.nexus() as nexus:
            await w.initialize_rack(nexus)
            await nexus.ready()
            saga_id, _ = await create_demo(nexus)
            await wait_for_waiting(w, saga_id)
            refused = await run(w, "-w", "db", "saga", "inject-error", saga_id)
            assert refused.code == 1
            assert f"Cannot proceed: Nexus {FIRST} is still running: it answered a ping" in refused.stderr

        injected = await run(w, "-w", "db", "saga", "inject-error", saga_id)
        assert injected.code == 0, injected.stderr
        assert injected.stdout == f"injecting error for saga {saga_id} node 0\n"
        assert f"note: Nexus {FIRST} is not running: connection refused" in injected.stderr

        async with w.nexus() as nexus:
            await nexus.ready()
            await nexus.eventually("GET", f"/sagas/{saga_id}", lambda answer: b'"failed"' in answer.body)
            state = json.loads((await nexus.request("GET", f"/sagas/{saga_id}")).body)["state"]
            assert state["error_node_name"] == NODE_NAME
            assert "error injected with omdb" in json.dumps(state["error_info"])
        shown = (await run(w, "db", "saga", "show", saga_id)).stdout
        assert " Done  \n" in shown
        assert "ended: failed, as the log has it" in shown
        assert f'"{NODE_NAME}" => {json.dumps(ERROR)}' in shown
        assert "1: start          | undo_finished" in shown
        assert claims(shown) == ["created", "injected", "recovered"]


async def test_a_saga_that_is_abandoned_while_nexus_is_away(database_url: str) -> None:
    async with world(database_url) as w:
        async with w.nexus() as nexus:
            await w.initialize_rack(nexus)
            await nexus.ready()
            saga_id, _ = await create_demo(nexus)
            other, _ = await create_demo(nexus)
            await wait_for_waiting(w, saga_id)

        abandoned = await run(w, "-w", "db", "saga", "abandon", saga_id, "--comment", "no such disk")
        assert abandoned.code == 0, abandoned.stderr

        async with w.nexus() as nexus:
            await nexus.ready()
            await nexus.eventually("GET", "/bgtasks/view/saga_recovery", recovery_is_over)
            listed = json.loads((await nexus.request("GET", "/sagas")).body)
            assert [saga["id"] for saga in listed["items"]] == [other]
        shown = (await run(w, "db", "saga", "show", saga_id)).stdout
        assert re.search(r"^abandoned: .*, reason omdb: no such disk$", shown, re.MULTILINE)
        assert claims(shown) == ["created", "abandoned"]
        again = await run(w, "-w", "db", "saga", "abandon", saga_id)
        assert (again.code, again.stderr.splitlines()[-1]) == (1, f"Error: saga {saga_id} is already abandoned")


async def test_g4_a_nexus_that_still_runs_a_repaired_saga_writes_nothing_more(database_url: str) -> None:
    """Under the claim it had, that is. What it may go on with, it resumes under a new one, without being told."""
    async with world(database_url) as w, w.nexus() as nexus:
        await w.initialize_rack(nexus)
        await nexus.ready()
        demos = [await create_demo(nexus), await create_demo(nexus)]
        for (saga_id, demo_saga_id), verb in zip(demos, ("inject-error", "abandon"), strict=True):
            await wait_for_waiting(w, saga_id)
            repaired = await run(w, "-w", "db", "saga", verb, saga_id, "--bypass-sec-check")
            assert repaired.code == 0, repaired.stderr
            assert (await nexus.request("POST", f"/demo-saga/{demo_saga_id}/complete")).status >= 400
        (injected, _), (abandoned, _) = demos
        await nexus.eventually("GET", f"/sagas/{injected}", lambda answer: b'"failed"' in answer.body)
        await nexus.eventually("GET", f"/sagas/{abandoned}", lambda answer: answer.status == 404)
        lost = [line["saga_id"] for line in nexus.log_lines("saga lost; not running it any more")]
        assert lost == [injected, abandoned]
        with psycopg.connect(database_url) as connection:
            query = "SELECT claim, node_id, event_type FROM saga_node_event WHERE saga_id = %s ORDER BY log_index"
            logs = [connection.execute(query, (saga_id,)).fetchall() for saga_id, _ in demos]
        before = [(1, 1, "started"), (1, 1, "succeeded"), (1, 0, "started")]
        undone = [(2, 0, "failed"), (3, 1, "undo_started"), (3, 1, "undo_finished")]
        assert logs == [[*before, *undone], before]
        for _ in range(4):
            report = await recovery_pass(nexus)
        assert report["ntotal_recovered"] == report["ntotal_finished"] == 1, "the abandoned one has not finished"
        assert report["ntotal_sec_errors_missing"] == report["ntotal_sec_errors_bad_state"] == 0
        assert (report["recent_failures"], report["ntotal_lost_to_adoption"]) == ([], 0)
