"""Nexuses of a running stack are expunged: killed, frozen or alive. Their sagas go on at another."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import psycopg
import pytest
from stack_driver import RunAll, eventually, nexus, omdb, run_all, xtask

from simstack.rack_setup import SECOND_NEXUS_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
HANG_S = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[RunAll]:
    """Each test expunges another of its Nexuses. Whoever of those that are left is first takes over the sagas."""
    with run_all("--nexuses", "5") as running:
        yield running


def launcher(stack: RunAll, *words: str) -> str:
    result = xtask("omicron-dev", *words, "--name", stack.facts["name"])
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def services(stack: RunAll) -> list[dict[str, Any]]:
    """As `status` has them."""
    shown = xtask("omicron-dev", "status", "--json", "--name", stack.facts["name"])
    found: list[dict[str, Any]] = json.loads(shown.stdout)["services"]
    return found


def expunge(stack: RunAll, nexus_id: str, *options: str) -> None:
    result = omdb(
        *("-w", "nexus", "blueprints", "edit", "target", "expunge-zone", nexus_id, "--set-target", *options),
        env={"OMDB_NEXUS_URL": stack.first_url},
    )
    assert result.returncode == 0, result.stderr


class Victim:
    """A Nexus with a demo saga."""

    def __init__(self, stack: RunAll, nexus_id: str, *, url: str, external_ip: str) -> None:
        self.id = nexus_id
        self.env = {"OMDB_NEXUS_URL": url}
        self._stack = stack
        self._external_ip = external_ip
        created = omdb("-w", "nexus", "sagas", "demo-create", env=self.env)
        self.saga, self.demo = re.findall(UUID, created.stdout)

    @classmethod
    def launched(cls, stack: RunAll, number: int) -> Victim:
        """The `number`-th Nexus of the launcher."""
        facts = stack.facts["nexuses"][number - 1]
        return cls(stack, facts["id"], url=f"http://{facts['internal_address']}", external_ip=f"100::{number}")

    def launcher(self, *words: str) -> str:
        return launcher(self._stack, *words)

    def nexus(self, word: str) -> None:
        self.launcher("nexus", word, self.id)

    def expunge(self, *options: str) -> None:
        expunge(self._stack, self.id, *options)

    def sagas(self, env: dict[str, str]) -> dict[str, str]:
        """State by id, of those that are in its memory."""
        listed = omdb("nexus", "sagas", "list", env=env)
        assert listed.returncode == 0, listed.stderr
        return dict(re.findall(rf"^({UUID}) +(\w+)", listed.stdout, re.MULTILINE))

    def moves_and_is_done(self) -> str:
        """Returns the id of the Nexus that took it over and has finished it."""
        eventually(lambda: self._runs_it() == self.id, False, timeout_s=HANG_S)
        heir = self._runs_it()
        (address,) = (each["internal_address"] for each in self._stack.facts["nexuses"] if each["id"] == heir)
        env = {"OMDB_NEXUS_URL": f"http://{address}"}
        eventually(lambda: self.sagas(env).get(self.saga), "running", timeout_s=HANG_S)
        shown = omdb("nexus", "background-tasks", "show", "saga_recovery", env=env)
        assert re.search(rf"^ +\S+Z {self.saga} $", shown.stdout, re.MULTILINE), shown.stdout
        assert omdb("-w", "nexus", "sagas", "demo-complete", self.demo, env=env).returncode == 0
        eventually(lambda: self.sagas(env).get(self.saga), "succeeded", timeout_s=HANG_S)
        return heir

    def _runs_it(self) -> str:
        ((sec_id,),) = self._query("SELECT current_sec::TEXT FROM saga WHERE id = %s")
        return str(sec_id)

    def _query(self, query: str) -> list[tuple[Any, ...]]:
        """With the id of the saga in the place of its parameter."""
        with psycopg.connect(self._stack.facts["database"]["url"]) as connection:
            return connection.execute(query.encode(), (self.saga,)).fetchall()

    def written_by(self) -> list[tuple[str, int]]:
        """Who wrote to the log of the saga, and under which claim."""
        return self._query(
            "SELECT DISTINCT creator::TEXT, claim FROM saga_node_event WHERE saga_id = %s ORDER BY claim"
        )

    def service(self) -> dict[str, Any]:
        """As `status` has it."""
        names = {nexus["id"]: f"nexus{number}" for number, nexus in enumerate(self._stack.facts["nexuses"], 1)}
        return next(each for each in services(self._stack) if each["name"] == names[self.id])

    def in_dns(self) -> tuple[bool, bool]:
        """Whether internal DNS has it as a Nexus, and external DNS its address under the silo's name."""
        facts = self._stack.facts
        internal = answers(facts["internal_dns"]["address"], "_nexus._tcp.control-plane.oxide.internal", "SRV")
        silo = f"{facts['silo']['name']}.sys.{facts['external_dns']['zone']}"
        external = answers(facts["external_dns"]["address"], silo, "AAAA")
        return any(self.id in record for record in internal), self._external_ip in external


def answers(server: str, name: str, kind: str) -> list[str]:
    host, _, port = server.rpartition(":")
    answer = dns.query.tcp(dns.message.make_query(name, kind), host.strip("[]"), port=int(port), timeout=10)
    return [record.to_text() for rrset in answer.answer for record in rrset]


def shown_gone(victim: Victim) -> str:
    """How it has ended, as `status` has it, once that says that it is expunged."""
    eventually(lambda: victim.service()["health"], "expunged", timeout_s=HANG_S)
    service = victim.service()
    assert service["state"] == "expunged"
    how, _, what_now = service["detail"].partition("; ")
    assert what_now == "its zone never comes back; `nexus add` starts another"
    return str(how)


def test_one_that_was_killed(stack: RunAll) -> None:
    victim = Victim.launched(stack, 2)
    assert victim.in_dns() == (True, True)
    victim.nexus("kill")
    victim.expunge()
    heir = victim.moves_and_is_done()
    eventually(victim.in_dns, (False, False), timeout_s=HANG_S)
    shown = omdb("db", "saga", "show", victim.saga, env={"OMDB_DB_URL": stack.facts["database"]["url"]}).stdout
    claims = re.findall(rf"^ (\d) +\| \S+Z \| (\w+) +\| ({UUID}) +\| (\d) ", shown, re.MULTILINE)
    assert claims == [
        ("1", "created", victim.id, "1"),
        ("2", "adopted", heir, "2"),
        ("3", "recovered", heir, "2"),
    ]
    assert shown_gone(victim) == "killed by SIGKILL"
    refused = xtask("omicron-dev", "nexus", "start", victim.id, "--name", stack.facts["name"])
    assert refused.returncode == 1
    never = "is expunged, and never comes back; `nexus add` starts another"
    assert refused.stderr == f"omicron-dev: nexus2 {victim.id} {never}\n"
    assert shown_gone(victim) == "killed by SIGKILL"


def test_the_second_one_which_was_started_by_hand(stack: RunAll) -> None:
    with nexus(stack.second_config) as (running, url):
        victim = Victim(stack, str(SECOND_NEXUS_ID), url=url, external_ip="100::1")
        assert victim.in_dns() == (True, True)
        running.stop(signal.SIGKILL)
    victim.expunge()
    victim.moves_and_is_done()
    eventually(victim.in_dns, (False, False), timeout_s=HANG_S)


def test_one_that_is_frozen_and_wakes_up_later(stack: RunAll) -> None:
    victim = Victim.launched(stack, 3)
    victim.nexus("pause")
    victim.expunge("--ready-for-cleanup")
    heir = victim.moves_and_is_done()
    assert victim.service()["health"] == "paused"
    eventually(lambda: victim.service()["detail"], "SIGSTOP; it is expunged: `nexus stop` ends it", timeout_s=HANG_S)

    victim.nexus("resume")
    refused = omdb("-w", "nexus", "sagas", "demo-create", env=victim.env)
    assert refused.returncode == 1
    assert f"zone {victim.id}, which is this Nexus, is expunged in blueprint " in refused.stderr
    eventually(lambda: victim.sagas(victim.env), {}, timeout_s=HANG_S)
    log = victim.launcher("logs", "nexus3")
    said = [line for line in log.splitlines() if "saga lost" in line]
    assert len(said) == 1, log
    assert victim.saga in said[0]
    assert heir in said[0]
    assert victim.written_by() == [(victim.id, 1), (heir, 3)]
    assert victim.service()["health"] == "answers"

    assert victim.service()["detail"] == "makes no new sagas: it is expunged; `nexus stop` ends it"
    victim.nexus("stop")
    assert shown_gone(victim) == "exited with status 0"


@pytest.mark.parametrize(("number", "word"), [(4, "resume"), (5, "pause")])
def test_one_that_runs_is_stopped_by_the_sled_agent(stack: RunAll, number: int, word: str) -> None:
    victim = Victim.launched(stack, number)
    victim.nexus(word)
    victim.expunge()
    told = stack.program.stderr.until("since its zone is expunged", timeout_s=HANG_S)
    name = f"nexus{number} {victim.id} (pid {stack.facts['nexuses'][number - 1]['pid']})"
    assert told == f"omicron-dev: {name} was stopped, since its zone is expunged: exited with status 0\n"
    victim.moves_and_is_done()
    assert shown_gone(victim) == "exited with status 0"


def test_one_on_standby_ends_by_itself(stack: RunAll) -> None:
    added = launcher(stack, "nexus", "add", "--next-generation")
    found = re.search(rf"(nexus6 ({UUID}) \(pid \d+\)) is on standby, waiting for the handoff: ", added)
    assert found is not None, added
    who, nexus_id = found.groups()
    assert services(stack)[-1]["health"] == "standby"
    expunge(stack, nexus_id, "--ready-for-cleanup")  # so the sled agent leaves it alone
    told = stack.program.stderr.until(f"nexus6 {nexus_id}", timeout_s=HANG_S)
    why = f"this Nexus is expunged, and never comes back: zone {nexus_id} is expunged in blueprint "
    assert told.startswith(f"omicron-dev: {who} exited with status 1: {why}")
    eventually(lambda: services(stack)[-1]["health"], "expunged", timeout_s=HANG_S)
    assert services(stack)[-1]["detail"].startswith("exited with status 1; its zone never comes back")
