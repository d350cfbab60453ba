"""Two processes of one Nexus id: run-all's, and one that somebody starts by hand from the same file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import tomli_w
from stack_driver import RunAll, eventually, nexus, omdb, run_all

if TYPE_CHECKING:
    from collections.abc import Sequence


def same_file(stack: RunAll, directory: Path) -> Path:
    """The file of run-all's Nexus, which takes free ports; only the log goes elsewhere."""
    config = tomllib.loads((Path(stack.facts["directory"]) / "nexus1.toml").read_text())
    config["log"] = {"level": "info", "mode": "stderr-terminal"}
    path = directory / "nexus1.toml"
    path.write_text(tomli_w.dumps(config))
    return path


def demo_create(url: str) -> Sequence[str]:
    created = omdb("-w", "nexus", "sagas", "demo-create", env={"OMDB_NEXUS_URL": url})
    return re.findall(r"^(?:saga|demo saga) id: +(\S+)", created.stdout, re.MULTILINE)


def test_the_older_one_ends_itself_and_says_why(tmp_path: Path) -> None:
    with run_all() as stack:
        (facts,) = stack.facts["nexuses"]
        waiting, demo = demo_create(stack.first_url)
        with nexus(same_file(stack, tmp_path)) as (newer, url):
            # The saga waits and writes nothing, so this is noticed by the check of every 10 s.
            stack.program.stderr.until(rf"nexus1 {facts['id']} .* exited with status 1; the end of its log")
            said = stack.program.stderr.until("^nexus: ")
            assert re.match(
                rf"nexus: another process with the id of this Nexus, {facts['id']}, was started:"
                rf" pid {newer.process.pid} on host \S+, at \S+Z\. .* pid {facts['pid']}, ends",
                said,
            )
            env = {"OMDB_NEXUS_URL": url}
            assert omdb("-w", "nexus", "sagas", "demo-complete", demo, env=env).returncode == 0
            eventually(lambda: f"{waiting} succeeded" in omdb("nexus", "sagas", "list", env=env).stdout, wanted=True)
            assert newer.process.poll() is None
        with psycopg.connect(stack.facts["database"]["url"]) as connection:
            claims = connection.execute("SELECT reason FROM saga_claim WHERE saga_id = %s ORDER BY claim", (waiting,))
            assert claims.fetchall() == [("created",), ("recovered",)]
