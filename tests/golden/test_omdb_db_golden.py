"""The `omdb db` commands against a real database, and every way in which that is not the one wanted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
from canned_servers import LOOPBACK, CannedHttp, canned_dns, closed_port, raw_server
from golden_files import check_golden
from omdb_driver import transcript
from redact import Redactor
from stored_sagas import (
    ABANDONED,
    FIRST_NEXUS,
    ODD,
    RECOVERED_AND_ADOPTED,
    SECOND_NEXUS,
    STUCK,
    UNASSIGNED,
    StoredSagaRows,
    demo,
)

from omdb import database, http_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import pytest

DATABASE = "_cockroach._tcp.control-plane.oxide.internal"
NEXUS = "_nexus._tcp.control-plane.oxide.internal"


def store(url: str, *sagas: StoredSagaRows) -> None:
    with psycopg.connect(url) as connection:
        for saga in sagas:
            saga.insert(connection)


def redact_url(text: str, url: str) -> str:
    """The database is another one each time, and not always on the same address."""
    return text.replace(url, "DATABASE-URL").replace(urlsplit(url).netloc.partition("@")[2], "DATABASE-ADDRESS")


def test_sagas_in_the_database(database_url: str) -> None:
    store(database_url, demo(1), demo(2, created_s=60), RECOVERED_AND_ADOPTED, STUCK, ABANDONED, UNASSIGNED)
    shown = (1, RECOVERED_AND_ADOPTED, STUCK, ABANDONED, UNASSIGNED)
    ids = [saga.id if isinstance(saga, StoredSagaRows) else demo(saga).id for saga in shown]
    commands = [
        "db saga running",
        "db saga running --fetch-limit 2",
        "db --fetch-limit=4 saga running",
        *(f"db saga show {id}" for id in ids),
        "db saga show 00000000-0000-0000-0000-00000000dead",
    ]
    text = transcript(commands, environ={"OMDB_DB_URL": database_url})
    check_golden("omdb/db_sagas.txt", redact_url(text, database_url))


def test_no_sagas_and_odd_ones(database_url: str) -> None:
    environ = {"OMDB_DB_URL": database_url}
    text = transcript(["db saga running"], environ=environ)
    store(database_url, ODD)
    text += "\n" + transcript(["db saga running", f"db saga show {ODD.id}"], environ=environ)
    check_golden("omdb/db_odd_sagas.txt", redact_url(text, database_url))


def test_usage_errors(database_url: str) -> None:
    commands = [
        "db saga",
        "db saga show",
        "db saga show 7",
        "db saga shw",
        "db saga running --fetch-limit 0",
        "db saga running --fetch-limit=-1",
        "db saga running --fetch-limit many",
        "db saga running --db-url 127.0.0.1:5432",
        "db saga running --db-url http://127.0.0.1:5432",
        "db saga running --db-url postgresql://root@[::1:5432/omicron",
        "db saga running --db-url postgresql://root@[::1]:5432/omicron?colour=red",
        "nexus sagas list --db-url postgresql://root@[::1]:5432/omicron",
        f"db saga abandon -w {ABANDONED.id} --comment 'two\nlines'",
        f"db saga abandon -w {ABANDONED.id} --coment no",
    ]
    text = transcript(commands)
    text += "\n" + transcript(["db saga running"], environ={"OMDB_DB_URL": database_url, "OMDB_FETCH_LIMIT": "x"})
    check_golden("omdb/db_usage_errors.txt", text)


def test_databases_that_cannot_be_used(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_S", 1)

    def listed(url: str) -> str:
        return transcript(["db saga running"], environ={"OMDB_DB_URL": url})

    server, _, name = database_url.rpartition("/")
    text = ""
    with closed_port() as port:
        text += "# Nothing is there.\n" + listed(f"postgresql://root@{LOOPBACK}:{port}/omicron?sslmode=disable")
    for heading, reply in {"Something else": b"SSH-2.0-OpenSSH_9.2p1\r\n", "Something silent": None}.items():

        def converse(connection: socket.socket, reply: bytes | None = reply) -> None:
            if reply is None:
                connection.recv(65_536)
                connection.recv(1)
            else:
                connection.sendall(reply)

        with raw_server(converse) as port:
            url = f"postgresql://root@{LOOPBACK}:{port}/omicron?sslmode=disable"
            text += f"\n# {heading} is there.\n" + listed(url)
    text += "\n# There is no such database.\n" + listed(f"{server}/nosuch")
    text += "\n# There is no such user.\n" + listed(f"{server.replace('root@', 'nobody@')}/{name}")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE db_metadata SET schema_version = 2")
        text += "\n# The schema is another.\n" + listed(database_url)
        connection.execute("ALTER TABLE saga DROP COLUMN abandon_comment")
        text += "\n# A column is missing.\n" + listed(database_url)
        connection.execute("DROP TABLE db_metadata")
        text += "\n# There is no schema.\n" + listed(database_url)
    text = (
        redact_url(text, database_url).replace(server.replace("root@", "nobody@"), "SERVER").replace(server, "SERVER")
    )
    check_golden("omdb/db_failures.txt", Redactor().redact_ports(text.replace(name, "DATABASE")))


def test_finding_the_database_in_dns() -> None:
    redactor = Redactor()
    text = ""
    with closed_port() as one, closed_port() as other:
        both = [f"0 0 {one} one.host.test.", f"1 0 {other} two.host.test."]
        address = {"A one.host.test": [LOOPBACK], "A two.host.test": [LOOPBACK]}
        for heading, records in (
            ("Two servers, neither of which answers", {f"SRV {DATABASE}": both, **address}),
            ("None", {}),
        ):
            with canned_dns(records) as dns_port:
                environ = {"OMDB_DNS_SERVER": f"{LOOPBACK}:{dns_port}"}
                text += f"\n# {heading}.\n" + transcript(["db saga running"], environ=environ)
    check_golden("omdb/db_dns.txt", redactor.redact_ports(text))


@contextmanager
def nexuses_in_dns(*ports: int) -> Iterator[dict[str, str]]:
    """Variables that point at a DNS server that knows the first Nexus, on these ports."""
    target = f"{FIRST_NEXUS}.host.test"
    services = [f"{priority} 0 {port} {target}." for priority, port in enumerate(ports)]
    records = {f"SRV {NEXUS}": services, f"A {target}": [LOOPBACK]}
    with canned_dns(records) as dns_port:
        yield {"OMDB_DNS_SERVER": f"{LOOPBACK}:{dns_port}"}


REPAIRS = ("inject-error", "abandon")


def test_repairs(database_url: str) -> None:
    redactor = Redactor()
    unassigned = demo(0x41, current_sec=None)
    store(database_url, demo(1), demo(2), unassigned, demo(3, until=2), demo(4, until=5), STUCK, ABANDONED)
    text = ""
    with closed_port() as port, nexuses_in_dns(port) as environ:
        environ["OMDB_DB_URL"] = database_url

        def repair(heading: str, commands: list[str], typed: str | None) -> None:
            nonlocal text
            text += f"\n# {heading}\n" + transcript(commands, environ=environ, typed=typed)

        for number, verb in enumerate(REPAIRS, 1):
            id = demo(number).id
            repair("Without -w.", [f"db saga {verb} {id}"], "y\n")
            repair("No terminal.", [f"-w db saga {verb} {id}"], None)
            repair("Nothing is typed.", [f"-w db saga {verb} {id}"], "")
            repair("The answer is not y.", [f"-w db saga {verb} {id}"], "yes\n")
            repair("The answer is y.", [f"-w db saga {verb} {id}"], "y\n")
            repair("What came of it.", [f"db saga show {id}"], None)
        others = [STUCK.id, ABANDONED.id, demo(0xDEAD).id]
        repair(
            "Sagas that are at their end, or not there.",
            [f"-w db saga {v} {id}" for v in REPAIRS for id in others],
            "y\n",
        )
        stopped = [f"-w db saga inject-error {demo(1).id}", f"-w db saga inject-error {demo(3).id}"]
        repair("Nothing is running.", [*stopped, f"-w db saga inject-error {demo(4).id}"], "y\n")
        repair("Nobody is to run it.", [f"-w db saga abandon {unassigned.id} --comment='not wanted'"], "y\n")
        repair("Why.", [f"db saga show {unassigned.id}"], None)
    check_golden("omdb/db_repairs.txt", redactor.redact_ports(redact_url(text, database_url)))


def test_checking_that_the_sec_is_gone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "EXCHANGE_TIMEOUT_S", 0.2)
    redactor = Redactor()
    store(database_url, demo(1), demo(2, current_sec=SECOND_NEXUS))
    text = ""

    def say(heading: str, environ: dict[str, str], id: int = 1, options: str = "") -> None:
        nonlocal text
        command = f"-w db saga inject-error {demo(id).id}{options}"
        text += f"\n# {heading}\n" + transcript(
            [command], environ={**environ, "OMDB_DB_URL": database_url}, typed="n\n"
        )

    def silent(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.recv(1)

    with CannedHttp({"GET /v1/ping": (200, {"status": "ok"})}).serve() as up, closed_port() as down:
        port = int(up.rpartition(":")[2])
        with nexuses_in_dns(port) as environ:
            say("It answers.", environ)
            say("It is not in DNS.", environ, id=2)
            say("Nobody asks.", environ, id=2, options=" --bypass-sec-check")
        with nexuses_in_dns(down, port) as environ:
            say("It answers at one of two addresses.", environ)
    with CannedHttp({}).serve() as other, nexuses_in_dns(int(other.rpartition(":")[2])) as environ:
        say("It answers with an error.", environ)
    with raw_server(silent) as port, nexuses_in_dns(port) as environ:
        say("It is there and does not answer.", environ)
    with canned_dns({}) as dns_port:
        say("DNS knows no Nexus at all.", {"OMDB_DNS_SERVER": f"{LOOPBACK}:{dns_port}"})
    say("There is no DNS.", {"OMDB_DNS_SERVER": f"{LOOPBACK}:{dns_port}"})
    check_golden("omdb/db_sec_check.txt", redactor.redact_ports(redact_url(text, database_url)))


def test_warnings_in_colour(database_url: str) -> None:
    store(database_url, demo(1))
    commands = [f"--color always -w db saga {verb} {demo(1).id} --bypass-sec-check" for verb in REPAIRS]
    commands.append(f"--color always db saga show {demo(1).id}")
    text = transcript(commands, environ={"OMDB_DB_URL": database_url})
    check_golden("omdb/db_colour.txt", redact_url(text, database_url))
