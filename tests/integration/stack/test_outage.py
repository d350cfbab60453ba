"""The database goes away under running Nexuses, on request, and comes back."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import psycopg
from stack_driver import eventually, omdb, run_all, xtask

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def create(url: str) -> tuple[str, str]:
    created = omdb("-w", "nexus", "sagas", "demo-create", env={"OMDB_NEXUS_URL": url})
    assert created.returncode == 0, created.stderr
    saga, demo = re.findall(UUID, created.stdout)
    return saga, demo


def states(url: str) -> dict[str, str]:
    listed = omdb("nexus", "sagas", "list", env={"OMDB_NEXUS_URL": url})
    assert listed.returncode == 0, listed.stderr
    return dict(line.split() for line in listed.stdout.splitlines()[1:])


def activations(url: str, task: str) -> tuple[int, bool]:
    """How often the task has run, and whether the last run reported an error."""
    with urllib.request.urlopen(f"{url}/bgtasks/view/{task}", timeout=10) as response:
        last = json.load(response)["last"]["details"]
    return last["iteration"], "error" in last["details"]


def test_nothing_is_lost_while_the_database_is_stopped() -> None:
    with run_all() as stack:
        url = stack.first_url
        env = {"OMDB_NEXUS_URL": url}
        saga, demo = create(url)
        assert xtask("omicron-dev", "db", "stop", "--name", stack.facts["name"]).returncode == 0
        assert "postgres  " in (shown := xtask("omicron-dev", "status", "--name", stack.facts["name"])).stdout
        assert shown.returncode == 1
        assert "sagas: unknown, the database does not answer" in shown.stdout

        refused = omdb("-w", "nexus", "sagas", "demo-create", env=env)
        assert refused.returncode == 1
        assert "503" in refused.stderr
        assert "database" in refused.stderr, refused.stderr
        refused = omdb("-w", "nexus", "sagas", "demo-complete", demo, env=env)
        assert refused.returncode == 1
        assert "503" in refused.stderr, refused.stderr
        assert states(url)[saga] == "running"

        before, _ = activations(url, "saga_recovery")
        assert omdb("-w", "nexus", "background-tasks", "activate", "saga_recovery", env=env).returncode == 0
        eventually(lambda: activations(url, "saga_recovery"), (before + 1, False), timeout_s=60)

        assert xtask("omicron-dev", "db", "start", "--name", stack.facts["name"]).returncode == 0
        eventually(lambda: states(url).get(saga), "succeeded", timeout_s=30)
        assert omdb("-w", "nexus", "sagas", "demo-complete", demo, env=env).returncode == 0

        later, later_demo = create(url)
        assert omdb("-w", "nexus", "sagas", "demo-complete", later_demo, env=env).returncode == 0
        eventually(lambda: states(url).get(later), "succeeded")
        assert xtask("omicron-dev", "status", "--name", stack.facts["name"]).returncode == 0
        with psycopg.connect(stack.facts["database"]["url"]) as connection:
            rows = connection.execute(
                "SELECT event_type, count(*) FROM saga_node_event WHERE saga_id = %s AND node_id = 0 GROUP BY 1",
                (saga,),
            )
            assert dict(rows.fetchall()) == {"started": 1, "succeeded": 1}
