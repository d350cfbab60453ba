"""`omicron-dev nexus …`: a running stack is changed from another terminal."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import pytest
from stack_driver import Result, RunAll, eventually, omdb, program, run_all, xtask

from simstack.process_identity import process_identity
from simstack.rack_setup import SECOND_NEXUS_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def stack() -> Iterator[RunAll]:
    """Two Nexuses, both of which answer before and after each test. One death was not asked for, and is reported."""
    with run_all("--nexuses", "2") as running:
        yield running
        assert running.program.stop() == 0
        (report,) = re.findall(r"(?:exited|killed) .*", running.program.stderr.rest())
        assert report.startswith("exited with status 1: parse ")


def nexus(stack: RunAll, *words: str) -> Result:
    return xtask("omicron-dev", "nexus", *words, "--name", stack.facts["name"])


def done(stack: RunAll, *words: str) -> str:
    """The last line of a command that must succeed, without the prefix."""
    result = nexus(stack, *words)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    return result.stderr.splitlines()[-1].removeprefix("omicron-dev: ")


def examined(stack: RunAll) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(xtask("omicron-dev", "status", "--json", "--name", stack.facts["name"]).stdout)
    return status


def service(stack: RunAll, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in examined(stack)["services"] if each["name"] == name)
    return found


def test_a_nexus_is_killed_and_started_again_where_it_was_and_resumes_its_sagas(stack: RunAll) -> None:
    second = stack.facts["nexuses"][1]
    env = {"OMDB_NEXUS_URL": f"http://{second['internal_address']}"}
    created = omdb("-w", "nexus", "sagas", "demo-create", env=env)
    saga, demo = re.findall(UUID, created.stdout)
    pid = service(stack, "nexus2")["pid"]

    assert done(stack, "kill", "2") == f"nexus2 {second['id']} (pid {pid}) killed by SIGKILL"
    assert process_identity(pid) is None
    killed = service(stack, "nexus2")
    assert (killed["health"], killed["state"], killed["pid"]) == ("killed", "killed", pid)
    shown = xtask("omicron-dev", "status", "--name", stack.facts["name"])
    assert shown.returncode == 1
    assert re.search(r"^nexus2 +killed .* killed by SIGKILL; `nexus start` starts it again", shown.stdout, re.MULTILINE)
    again = nexus(stack, "kill", "2")
    assert again.returncode == 1
    assert again.stderr == f"omicron-dev: nexus2 {second['id']} (pid {pid}) does not run: killed by SIGKILL\n"

    assert re.fullmatch(rf"nexus2 {second['id']} \(pid \d+\) is ready", done(stack, "start", second["id"][:8]))
    started = service(stack, "nexus2")
    assert (started["health"], started["address"]) == ("answers", second["internal_address"])
    assert started["pid"] != pid
    assert done(stack, "start", "2") == f"nexus2 {second['id']} (pid {started['pid']}) is ready"
    facts = examined(stack)["stack"]["facts"]["nexuses"][1]
    assert facts == {**second, "pid": started["pid"]}

    assert omdb("-w", "nexus", "sagas", "demo-complete", demo, env=env).returncode == 0
    ended = rf"^{saga} +succeeded"
    eventually(lambda: re.search(ended, omdb("nexus", "sagas", "list", env=env).stdout, re.MULTILINE) is not None, True)


def test_a_pause_shows_at_once_and_a_paused_nexus_can_be_stopped(stack: RunAll) -> None:
    second = stack.facts["nexuses"][1]
    assert done(stack, "pause", "2").endswith(" is paused")
    assert done(stack, "pause", "2").endswith(" is paused")
    paused = service(stack, "nexus2")
    assert (paused["health"], paused["state"]) == ("paused", "paused")
    refused = nexus(stack, "start", "2")
    assert refused.returncode == 1
    assert refused.stderr.endswith(" is paused; `nexus resume` lets it go on\n")
    assert done(stack, "resume", "2") == f"nexus2 {second['id']} (pid {paused['pid']}) goes on"
    assert service(stack, "nexus2")["health"] == "answers"

    done(stack, "pause", "2")
    assert done(stack, "stop", "2").endswith("has ended: exited with status 0")
    assert service(stack, "nexus2")["health"] == "stopped"
    assert done(stack, "stop", "2").endswith("has ended: exited with status 0")
    for word in ("pause", "resume"):
        assert "does not run: exited with status 0" in nexus(stack, word, "2").stderr
    assert done(stack, "restart", "2").endswith(" is ready")
    assert service(stack, "nexus2")["health"] == "answers"


def test_omdb_is_pointed_at_a_nexus_that_is_up(stack: RunAll) -> None:
    first, second = (f"export OMDB_NEXUS_URL=http://{nexus['internal_address']}" for nexus in stack.facts["nexuses"])

    def pointed() -> str:
        printed = xtask("omicron-dev", "env", "--name", stack.facts["name"]).stdout.replace("'", "")
        return next(line for line in printed.splitlines() if "OMDB_NEXUS_URL" in line)

    assert pointed() == first
    done(stack, "pause", "1")
    assert pointed() == second
    done(stack, "resume", "1")
    assert pointed() == first


def test_what_a_user_changes_in_a_configuration_holds_at_the_next_start(stack: RunAll) -> None:
    config = examined(stack)["stack"]["facts"]["nexuses"][1]["config"]
    with open(config, encoding="utf-8") as file:
        content = file.read()
    assert done(stack, "restart", "2").endswith(" is ready")
    with open(config, encoding="utf-8") as file:
        assert file.read() == content
    with open(config, "w", encoding="utf-8") as file:
        file.write(content.replace("[deployment]", "[deployment"))
    try:
        refused = nexus(stack, "restart", "2")
        assert refused.returncode == 1
        why = f'exited with status 1: parse "{config}": not TOML: '
        assert re.fullmatch(rf"omicron-dev: not ready: nexus2 .* {re.escape(why)}.*\n", refused.stderr)
        down = service(stack, "nexus2")
        assert (down["health"], down["detail"][: len(why)]) == ("down", why)
    finally:
        with open(config, "w", encoding="utf-8") as file:
            file.write(content)
        assert done(stack, "start", "2").endswith(" is ready")
    stack.program.stderr.until(r"nexus2 .* exited with status 1: parse ")


def test_a_command_that_is_interrupted_leaves_nothing_half_done(stack: RunAll) -> None:
    name = stack.facts["name"]
    done(stack, "kill", "2")
    assert xtask("omicron-dev", "db", "stop", "--name", name).returncode == 0
    try:
        with program("xtask", "omicron-dev", "nexus", "start", "2", "--name", name) as command:
            eventually(lambda: service(stack, "nexus2")["health"], "starting", timeout_s=30)
            assert command.stop(signal.SIGINT) == 128 + signal.SIGINT
        starting = service(stack, "nexus2")
        assert starting["health"] == "starting"
        assert done(stack, "kill", "2").endswith(f" (pid {starting['pid']}) killed by SIGKILL")
    finally:
        assert xtask("omicron-dev", "db", "start", "--name", name).returncode == 0
    assert done(stack, "start", "2").endswith(" is ready")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["kill"], r"say which Nexus: nexus1 \(.*\), nexus2 \(.*\)"),
        (["kill", "3"], r"there is no nexus3: this stack launched nexus1 \(.*\), nexus2 \(.*\); one that was started"),
        (["pause", "e6"], r"'e6' is none of this stack's Nexuses: nexus1 "),
        (["kill", str(SECOND_NEXUS_ID)], rf"{SECOND_NEXUS_ID} is the second Nexus .* started by hand"),
        (["kill", "x" * 5000], r"expected one line of JSON"),
    ],
)
def test_who_is_not_meant_is_one_line(stack: RunAll, words: list[str], complaint: str) -> None:
    refused = nexus(stack, *words)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.match(f"omicron-dev: {complaint}", refused.stderr), refused.stderr
    assert refused.stderr.count("\n") == 1


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def nexus_ports_in_dns(stack: RunAll) -> set[int]:
    address = stack.facts["internal_dns"]["address"]
    query = dns.message.make_query("_nexus._tcp.control-plane.oxide.internal", "SRV")
    answer = dns.query.udp(query, address.rpartition(":")[0].strip("[]"), port=port_of(address), timeout=10)
    return {record.port for rrset in answer.answer for record in rrset}


def test_one_more_nexus_joins(stack: RunAll) -> None:
    added = nexus(stack, "add")
    assert added.returncode == 0, added.stderr
    rows = dict(re.findall(r"^omicron-dev: (nexus .*): +(\S+)$", added.stdout, re.MULTILINE))
    facts = examined(stack)["stack"]["facts"]["nexuses"][2]
    assert rows == {
        "nexus id": facts["id"],
        "nexus external API": facts["external_address"],
        "nexus internal API": facts["internal_address"],
        "nexus config": facts["config"],
    }
    assert service(stack, "nexus3")["health"] == "answers"
    eventually(lambda: port_of(facts["internal_address"]) in nexus_ports_in_dns(stack), True, timeout_s=30)
    assert xtask("omicron-dev", "logs", "nexus3", "--name", stack.facts["name"]).stdout.count("ready") > 0
    assert done(stack, "kill", "3").endswith("killed by SIGKILL")
