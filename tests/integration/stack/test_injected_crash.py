"""A Nexus that kills itself as it was told to, and the next process of the same id, which goes on with the saga."""

from __future__ import annotations

import re
import signal

import pytest
from stack_driver import eventually, nexus, omdb, run_all


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_nexus_crashes_as_asked_and_the_next_one_undoes_the_saga(when: str) -> None:
    with run_all() as stack:
        with nexus(stack.second_config) as (running, url):
            env = {"OMDB_NEXUS_URL": url}
            params = '{"hold": ["record"], "fail": ["server"]}'
            created = omdb("-w", "nexus", "sagas", "create", "provision", "--params", params, env=env)
            (saga_id,) = re.findall(r"^saga id: (\S+)$", created.stdout, re.MULTILINE)
            fault = f"crash-{when}=undo_started"
            assert omdb("-w", "nexus", "sagas", "inject", saga_id, "network/route", fault, env=env).returncode == 0
            shown = omdb("nexus", "sagas", "show", saga_id, env=env).stdout
            assert f'not fired: crash {when} "undo_started" of "network/route" is durable' in shown
            assert omdb("-w", "nexus", "sagas", "release", saga_id, "record", env=env).stdout == "released: record\n"
            assert running.process.wait(30) == -signal.SIGKILL
        with nexus(stack.second_config) as (_, url):
            env = {"OMDB_NEXUS_URL": url}

            def state() -> list[str]:
                shown = omdb("nexus", "sagas", "show", saga_id, env=env).stdout
                return re.findall(r"^(?:state|failed node): +(\S+)$", shown, re.MULTILINE)

            eventually(state, ["failed", "server"])
            shown = omdb("nexus", "sagas", "show", saga_id, env=env).stdout
            assert "under claim 2" in shown
            assert len(re.findall(r"undo_finished: Create", shown)) == 7
            assert "injections" not in shown
