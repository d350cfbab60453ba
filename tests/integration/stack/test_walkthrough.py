"""The walkthrough of the README, typed into real processes."""

from __future__ import annotations

import re
import signal
import tomllib
from typing import TYPE_CHECKING

import pytest
import tomli_w
from stack_driver import RunAll, eventually, nexus, omdb, run_all
from upstream_config import UPSTREAM_ONLY, UPSTREAM_TASKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NOTE = (
    "NOTE: This command only reads in-memory state from the targeted Nexus instance.\n"
    "Sagas may be missing if they were run by a different Nexus instance or if they\n"
    "finished before this Nexus instance last started up.\n"
)
HEADER = "SAGA_ID STATE \n"


def table(*rows: tuple[str, str]) -> str:
    """The listing of `rows`, byte for byte: cells are padded to the widest, plus one space."""
    width = max(len(state) for _, state in [*rows, ("", "STATE")])
    return "".join(f"{first:<36} {second:<{width}} \n" for first, second in [("SAGA_ID", "STATE"), *rows])


def ready_made(stack: RunAll, directory: Path) -> Path:
    return stack.second_config


def with_upstream_sections(stack: RunAll, directory: Path) -> Path:
    """The ready-made file with everything that upstream's own holds besides."""
    config = tomllib.loads(stack.second_config.read_text())
    config |= {"mgd": {}} | tomllib.loads(UPSTREAM_ONLY)
    config["background_tasks"] |= tomllib.loads(UPSTREAM_TASKS)
    config["console"]["static_dir"] = "out/console-assets"
    path = directory / "config-second.toml"
    path.write_text(tomli_w.dumps(config))
    return path


@pytest.mark.parametrize(
    ("how", "configure"),
    [(signal.SIGINT, ready_made), (signal.SIGKILL, ready_made), (signal.SIGINT, with_upstream_sections)],
    ids=["interrupt", "kill", "upstream-sections"],
)
def test_a_demo_saga_survives_the_nexus_that_runs_it(
    how: signal.Signals, configure: Callable[[RunAll, Path], Path], tmp_path: Path
) -> None:
    with run_all() as stack:
        config = configure(stack, tmp_path)
        with nexus(config) as (running, url):
            env = {"OMDB_NEXUS_URL": url}
            note = f"note: using Nexus URL {url}\n"

            listed = omdb("nexus", "sagas", "list", env=env)
            assert (listed.returncode, listed.stdout, listed.stderr) == (0, HEADER, note + NOTE)

            created = omdb("--destructive", "nexus", "sagas", "demo-create", env=env)
            assert (created.returncode, created.stderr) == (0, note)
            ids = re.fullmatch(
                rf"saga id:      ({UUID})\ndemo saga id: ({UUID}) \(use this with `demo-complete`\)\n", created.stdout
            )
            assert ids is not None, created.stdout
            first, first_demo = ids.groups()
            assert omdb("nexus", "sagas", "list", env=env).stdout == table((first, "running"))

            completed = omdb("--destructive", "nexus", "sagas", "demo-complete", first_demo, env=env)
            assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", note)
            eventually(lambda: omdb("nexus", "sagas", "list", env=env).stdout, table((first, "succeeded")))

            created = omdb("--destructive", "nexus", "sagas", "demo-create", env=env)
            second, second_demo = re.findall(UUID, created.stdout)
            running.stop(how)
            if configure is with_upstream_sections:
                said = [line for line in running.stderr.rest().splitlines() if "not simulated" in line]
                assert len(said) == 1
                assert "authn" in said[0]
                assert "background_tasks (40 of them)" in said[0]

        with nexus(config) as (running, again):
            assert again == url
            eventually(lambda: omdb("nexus", "sagas", "list", env=env).stdout, table((second, "running")))

            shown = omdb("nexus", "background-tasks", "show", "saga_recovery", env=env)
            assert (shown.returncode, shown.stderr) == (0, note)
            time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
            assert re.fullmatch(
                rf"""task: "saga_recovery"
  configured period: every 10m
  currently executing: no
  last completed activation: iter 1, triggered by a periodic timer firing
    started at {time}\.\d{{3}}Z \(\d+s ago\) and ran for \d+ms
    since Nexus started:
        sagas recovered:           1
        sagas recovery errors:     0
        sagas observed started:    0
        sagas inferred finished:   0
        missing from SEC:          0
        bad state in SEC:          0
    last pass:
        found sagas:   1 \(in-progress, assigned to this Nexus\)
        recovered:     1 \(successfully\)
        failed:        0
        skipped:       0 \(already running\)
        removed:       0 \(newly finished\)
    recently recovered sagas \(1\):
        TIME                 SAGA_ID                              
        {time}Z {second} 
    no saga recovery failures

""",  # noqa: W291
                shown.stdout,
            ), shown.stdout

            completed = omdb("--destructive", "nexus", "sagas", "demo-complete", second_demo, env=env)
            assert completed.returncode == 0, completed.stderr
            eventually(lambda: omdb("nexus", "sagas", "list", env=env).stdout, table((second, "succeeded")))
            assert running.stop() == 0
