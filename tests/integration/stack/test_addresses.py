"""Every address of the summary answers a public client; beside each such client a library says the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import psycopg
import pytest
from stack_driver import RunAll, omdb, run_all, xtask

if TYPE_CHECKING:
    from collections.abc import Iterator

SILO_NAME = "test-suite-silo.sys.oxide-dev.test"
NEXUS_SRV = "_nexus._tcp.control-plane.oxide.internal"
COUNT_SAGAS = "select count(*) from saga"


@pytest.fixture(scope="module")
def stack() -> Iterator[RunAll]:
    with run_all("--nexuses", "2") as running:
        yield running


def client(*argv: str) -> str:
    """What a program on the PATH prints; skips the test where there is none."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def nexus_ports(stack: RunAll) -> set[int]:
    launched = {host_and_port(nexus["internal_address"])[1] for nexus in stack.facts["nexuses"]}
    second = re.search(
        r'dropshot_internal\]\nbind_address = ".*:(\d+)"', stack.second_config.read_text(encoding="utf-8")
    )
    assert second is not None
    return launched | {int(second[1])}


@pytest.mark.parametrize("transport", [[], ["+tcp"]], ids=["udp", "tcp"])
def test_dig_finds_the_silo(stack: RunAll, transport: list[str]) -> None:
    host, port = host_and_port(stack.facts["external_dns"]["address"])
    assert client("dig", f"@{host}", "-p", str(port), "+short", *transport, SILO_NAME, "A") == "127.0.0.1\n"


@pytest.mark.parametrize("transport", [[], ["+tcp"]], ids=["udp", "tcp"])
def test_dig_finds_every_nexus(stack: RunAll, transport: list[str]) -> None:
    host, port = host_and_port(stack.facts["internal_dns"]["address"])
    lines = client("dig", f"@{host}", "-p", str(port), "+short", *transport, NEXUS_SRV, "SRV").splitlines()
    assert {int(line.split()[2]) for line in lines} == nexus_ports(stack)


@pytest.mark.parametrize("ask", [dns.query.udp, dns.query.tcp], ids=["udp", "tcp"])
def test_dnspython_finds_the_silo_and_every_nexus(stack: RunAll, ask: Any) -> None:
    host, port = host_and_port(stack.facts["external_dns"]["address"])
    answer = ask(dns.message.make_query(SILO_NAME, "A"), host, port=port, timeout=10).answer
    assert [record.address for rrset in answer for record in rrset] == ["127.0.0.1"]
    host, port = host_and_port(stack.facts["internal_dns"]["address"])
    answer = ask(dns.message.make_query(NEXUS_SRV, "SRV"), host, port=port, timeout=10).answer
    assert {record.port for rrset in answer for record in rrset} == nexus_ports(stack)


def test_psql_counts_sagas(stack: RunAll) -> None:
    assert client("psql", stack.facts["database"]["url"], "-Atc", COUNT_SAGAS).strip().isdigit()


def test_psycopg_counts_sagas(stack: RunAll) -> None:
    with psycopg.connect(stack.facts["database"]["url"]) as connection:
        row = connection.execute(COUNT_SAGAS).fetchone()
        assert row is not None
        assert row[0] >= 0


def endpoints(stack: RunAll) -> list[tuple[str, str | None]]:
    """URLs, and the API version that each wants to be asked for."""
    facts = stack.facts
    return [
        (f"{facts['internal_dns']['http_url']}/config", "2.0.0"),
        (f"{facts['external_dns']['http_url']}/config", "2.0.0"),
        *(
            (f"{gateway['url']}{path}", "3.0.0")
            for gateway in facts["gateways"]
            for path in ("/local/all-sp-ids", "/local/switch-id", "/ignition", "/sp/sled/0", "/sp/switch/1")
        ),
        *(
            (f"http://{nexus[api]}/v1/ping", None)
            for nexus in facts["nexuses"]
            for api in ("internal_address", "external_address")
        ),
    ]


def test_curl_reads_every_api(stack: RunAll) -> None:
    for url, version in endpoints(stack):
        header = [] if version is None else ["-H", f"api-version: {version}"]
        assert json.loads(client("curl", "--silent", "--show-error", "--fail", *header, url)) is not None


def test_a_library_reads_every_api(stack: RunAll) -> None:
    for url, version in endpoints(stack):
        request = urllib.request.Request(url, headers={} if version is None else {"api-version": version})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response) is not None


def test_a_user_logs_in_and_out(stack: RunAll) -> None:
    api = f"http://{stack.facts['nexuses'][0]['external_address']}"
    silo = stack.facts["silo"]

    def ask(method: str, path: str, *, body: object = None, cookie: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "cookie": cookie}
        return urllib.request.urlopen(
            urllib.request.Request(f"{api}{path}", data=data, method=method, headers=headers), timeout=30
        )

    credentials = {"username": silo["user"], "password": silo["password"]}
    with ask("POST", f"/v1/login/{silo['name']}/local", body=credentials) as response:
        cookie = response.headers["set-cookie"].split(";")[0]
    with ask("GET", "/v1/me", cookie=cookie) as response:
        assert json.load(response)["display_name"] == silo["user"]
    with ask("POST", "/v1/logout", cookie=cookie) as response:
        assert response.status == 204
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        ask("GET", "/v1/me", cookie=cookie)
    refused.value.close()


def test_omdb_finds_a_nexus_through_dns(stack: RunAll) -> None:
    listed = omdb("--dns-server", stack.facts["internal_dns"]["address"], "nexus", "sagas", "list")
    assert listed.returncode == 0, listed.stderr
    assert listed.stderr.startswith("note: Nexus URL not specified.  Will pick one from DNS.\n")
    assert "\nWARNING: " in listed.stderr


def test_status_as_json_says_the_same(stack: RunAll) -> None:
    shown = xtask("omicron-dev", "status", "--name", stack.facts["name"], "--json")
    assert shown.returncode == 0, shown.stdout
    assert json.loads(shown.stdout)["stack"]["facts"] == stack.facts


@pytest.mark.parametrize("service", ["stack", "postgres", "switch0", "switch1", "nexus1", "2", "e6bff1ff"])
def test_every_service_has_a_log(stack: RunAll, service: str) -> None:
    shown = xtask("omicron-dev", "logs", service, "--name", stack.facts["name"])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("\n") >= 1


def test_logs_of_an_unknown_service_names_the_known_ones(stack: RunAll) -> None:
    shown = xtask("omicron-dev", "logs", "nexus7", "--name", stack.facts["name"])
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "it has stack, postgres, nexus1, nexus2, switch0, switch1" in shown.stderr
