"""Every omdb command, its help, and every way to fail, as golden files: exit code, stdout and stderr."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from canned_servers import LOOPBACK, REQUEST_ID, CannedHttp, canned_dns, closed_port, raw_server
from canned_tasks import BLUEPRINT_IDS, EXECUTED, HEALTHY, ODD, SAGA_RECOVERY, step, task
from golden_files import check_golden
from omdb_driver import transcript
from redact import Redactor

from omdb import http_connection
from omdb.tree import ROOT, Group

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    import pytest

SAGAS = [
    ("65253cb6-4428-4aa7-9afc-bf9b42166cb5", {"state": "running"}),
    ("88eddf09-dda3-4d70-8d99-1d3b441c57da", {"state": "succeeded"}),
    (
        "c63f8d0f-3f1a-4ef3-8b7f-6f1a2b3c4d5e",
        {"state": "failed", "error_node_name": "a", "error_info": {"error": "injected_error"}},
    ),
    (
        "f7765d6a-6e45-4c13-8904-2677b79a97eb",
        {
            "state": "stuck",
            "error_node_name": "a",
            "error_info": {"error": "injected_error"},
            "undo_error_node_name": "b",
            "undo_source_error": {},
        },
    ),
]


def dag_node(node_id: int, name: str, label: str, action_name: str | None, parents: list[int]) -> dict[str, object]:
    return {
        "node_id": node_id,
        "name": name,
        "has_output": not name.endswith(" node)"),
        "label": label,
        "action_name": action_name,
        "parents": parents,
    }


def saga_pages(pages: list[list[tuple[str, object]]]) -> dict[str, tuple[int, object]]:
    """As Nexus gives them: the last one that holds anything is followed by an empty one."""
    answers: dict[str, tuple[int, object]] = {}
    request = "GET /sagas?limit=1000"
    for number, page in enumerate(pages, 1):
        token = f"page+{number}=" if page else None
        items = [{"id": id, "state": state} for id, state in page]
        answers[request] = (200, {"items": items, "next_page": token})
        request = f"GET /sagas?limit=1000&page_token=page%2B{number}%3D"
    return answers


def all_groups(node: Group = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for word, below in node.commands.items():
        if isinstance(below, Group):
            yield from all_groups(below, (*path, word))


def all_commands(node: Group = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for word, below in node.commands.items():
        if isinstance(below, Group):
            yield from all_commands(below, (*path, word))
        else:
            yield (*path, word)


def test_help() -> None:
    pages = [*all_groups(), *all_commands()]
    check_golden("omdb/help.txt", transcript([" ".join((*path, "--help")) for path in pages]))


def test_groups_without_a_command() -> None:
    check_golden("omdb/groups.txt", transcript([" ".join(path) for path in all_groups()]))


def test_other_ways_to_help() -> None:
    commands = ["-h", "help", "help nexus", "nexus help sagas", "-w nexus sagas list -h", "--version"]
    check_golden("omdb/help_elsewhere.txt", transcript(commands))


def test_usage_errors() -> None:
    commands = [
        "nxus",
        "nexus sgas",
        "nexus sagas lst",
        "help nexus sgas",
        "nexus sagas help lst",
        "nexus sagas -- list",
        "--foo",
        "-x nexus sagas list",
        "nexus sagas list surplus",
        "nexus sagas list --destructve",
        "nexus sagas list --nexus-url http://127.0.0.1:80",
        "nexus sagas demo-complete",
        "nexus sagas demo-complete not-a-uuid",
        "nexus sagas demo-complete 208ebc89-acc6-42d3-9f40-7f5567c8a39b surplus",
        "nexus background-tasks show --no-executing",
        "nexus background-tasks show --no-executing-info=maybe",
        "nexus background-tasks activate",
        "--color nexus sagas list",
        "--color red nexus sagas list",
        "--color always --color never nexus sagas list",
        "--log-level loud nexus sagas list",
        "--destructive=yes nexus sagas list",
        "nexus sagas list --nexus-internal-url",
        "nexus sagas list --nexus-internal-url -w",
        "--dns-server 127.0.0.1 nexus sagas list",
        "--dns-server localhost:53 nexus sagas list",
        "--dns-server [::1] nexus sagas list",
    ]
    check_golden("omdb/usage_errors.txt", transcript(commands))


def test_environment_variables_that_are_wrong() -> None:
    environ = {"LOG_LEVEL": "loud"}
    text = transcript(["nexus sagas list", "--log-level WARN --dns-server x nexus sagas list"], environ=environ)
    text += "\n" + transcript(["nexus sagas list"], environ={"OMDB_DNS_SERVER": "x"})
    text += "\n" + transcript(["nexus sagas list"], environ={"OMDB_NEXUS_URL": "x"})
    check_golden("omdb/environment_errors.txt", text)


def test_bad_urls() -> None:
    urls = [
        "127.0.0.1:12223",
        "[::1]:12223",
        "https://127.0.0.1:12223",
        "http://",
        "http://:12223",
        "http://::1:12223",
        "http://[::1:12223",
        "http://[::1]12223",
        "http://[127.0.0.1]:12223",
        "http://[::1]:",
        "http://127.0.0.1:",
        "http://127.0.0.1:port",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://user@127.0.0.1:12223",
        "http://127.0.0.1:12223/?query",
        "http://127.0.0.1:12223/#part",
        "'http://127.0.0.1:12223 '",
        "http://bücher.test:12223",
    ]
    check_golden("omdb/bad_urls.txt", transcript([f"nexus --nexus-internal-url {url} sagas list" for url in urls]))


def test_sagas() -> None:
    demo = {"saga_id": "f7765d6a-6e45-4c13-8904-2677b79a97eb", "demo_saga_id": "88eddf09-dda3-4d70-8d99-1d3b441c57da"}
    canned = CannedHttp(saga_pages([SAGAS[:2], SAGAS[2:], []]))
    canned.answers["POST /demo-saga"] = (200, demo)
    canned.answers["POST /demo-saga/88eddf09-dda3-4d70-8d99-1d3b441c57da/complete"] = (204, b"")
    canned.answers["POST /demo-saga/208ebc89-acc6-42d3-9f40-7f5567c8a39b/complete"] = (
        404,
        {
            "request_id": REQUEST_ID,
            "error_code": "Not Found",
            "message": "demo saga with demo saga id 208ebc89-acc6-42d3-9f40-7f5567c8a39b (demo_saga)",
        },
    )
    canned.answers["POST /demo-saga/00000000-0000-4000-8000-000000000503/complete"] = (
        503,
        {"request_id": REQUEST_ID, "error_code": "ServiceNotAvailable", "message": "Service Unavailable"},
    )
    commands = [
        "nexus sagas list",
        "nexus sagas demo-create",
        "--destructive nexus sagas demo-create",
        "nexus sagas demo-complete 88eddf09-dda3-4d70-8d99-1d3b441c57da",
        "-w nexus sagas demo-complete 88eddf09-dda3-4d70-8d99-1d3b441c57da",
        "nexus sagas demo-complete 88EDDF09DDA34D708D991D3B441C57DA --destructive",
        "-w nexus sagas demo-complete 208ebc89-acc6-42d3-9f40-7f5567c8a39b",
        "-w nexus sagas demo-complete 00000000-0000-4000-8000-000000000503",
    ]
    with canned.serve() as url:
        environ = {"OMDB_NEXUS_URL": url}
        text = transcript(commands, environ=environ)
        waiting = {"id": SAGAS[0][0], "waiting_for": "actions not registered here: diamond.boot"}
        for answer in ([], [waiting]):
            canned.answers["GET /experimental/waiting-sagas"] = (200, answer)
            text += "\n" + transcript(["nexus sagas list"], environ=environ)
    check_golden("omdb/sagas.txt", Redactor().redact_ports(text))


DIAMOND = [
    dag_node(0, "image", '(constant = "alpine")', None, [4]),
    dag_node(1, "disk", "CreateDisk", "diamond.create_disk", [0]),
    dag_node(2, "address\x1b[2J", "AllocateAddress", "diamond.allocate_address", [0]),
    dag_node(3, "server", "Boot", "diamond.boot", [1, 2]),
    dag_node(4, "(start node)", "(start node)", None, []),
    dag_node(5, "(end node)", "(end node)", None, [3]),
]

SAGA_TYPES = [
    {
        "name": "demo",
        "params": {
            "$ref": "#/$defs/DemoParams",
            "$defs": {"DemoParams": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}}},
        },
        "default_params": {"id": "88eddf09-dda3-4d70-8d99-1d3b441c57da"},
        "nodes": [
            dag_node(0, "demo_wait", "DemoWait", "demo.demo_wait", [1]),
            dag_node(1, "(start node)", "(start node)", None, []),
            dag_node(2, "(end node)", "(end node)", None, [0]),
        ],
    },
    {
        "name": "diamond",
        "params": {
            "type": "object",
            "properties": {
                "size_gib": {"type": "integer", "default": 8},
                "hold": {"type": "array", "items": {"type": "string"}},
                "mode": {"enum": ["fast", "slow"]},
                "comment": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
        },
        "default_params": {"size_gib": 8, "hold": ["disk"], "mode": "fast", "comment": None},
        "nodes": DIAMOND,
    },
    {
        "name": "given",
        "params": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "size_gib": {"type": "integer", "default": 8},
                "labels": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["name"],
        },
        "default_params": None,
        "nodes": None,
    },
    {"name": "mine", "params": {"type": "integer"}, "default_params": None, "nodes": None},
]


def test_creating_sagas_by_name() -> None:
    ids = [SAGAS[0][0], SAGAS[1][0]]
    unknown = 'no saga type is called "dmo"; the nearest known one is "demo"'
    canned = CannedHttp(
        {"GET /experimental/saga-types": (200, SAGA_TYPES), "POST /experimental/sagas": (200, {"saga_ids": ids})}
    )
    with canned.serve() as url:
        environ = {"OMDB_NEXUS_URL": url}
        commands = [
            "nexus sagas types",
            "nexus sagas create demo",
            "-w nexus sagas create demo --count 2",
            """-w nexus sagas create diamond --params '{"size_gib": 3}'""",
            "-w nexus sagas create diamond --params nonsense",
            "-w nexus sagas create diamond --count 0",
            "-w nexus sagas create diamond --count 100001",
            "-w nexus sagas create",
        ]
        text = transcript(commands, environ=environ)
        assert [body for request, _, body in canned.requests if request.startswith("POST")] == [
            b'{"name":"demo","count":2}',
            b'{"name":"diamond","count":1,"params":{"size_gib": 3}}',
        ]
        refusal = {"request_id": REQUEST_ID, "error_code": "InvalidRequest", "message": unknown}
        canned.answers["POST /experimental/sagas"] = (400, refusal)
        text += "\n" + transcript(["-w nexus sagas create dmo"], environ=environ)
    check_golden("omdb/saga_types.txt", Redactor().redact_ports(text))


def saga_node(node: dict[str, object], status: str, **changes: object) -> dict[str, object]:
    rest: dict[str, object] = {
        "since": None,
        "waiting_on": [],
        "held": False,
        "repeated_actions": 0,
        "repeated_undos": 0,
    }
    return {**node, "status": status, "since": None, "waiting_on": [], "held": False, **rest, **changes}


SINCE = "2024-08-12T20:20:41.714Z"
RUNNING_SAGA = {
    "id": SAGAS[0][0],
    "name": "diamond",
    "state": {"state": "running"},
    "unwinding": False,
    "waiting_for": None,
    "sec_id": "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c",
    "claim": 2,
    "params": {"size_gib": 8, "hold": ["disk"]},
    "nodes": [
        saga_node(DIAMOND[0], "succeeded"),
        saga_node(DIAMOND[1], "started", since=SINCE, held=True, repeated_actions=1),
        saga_node(DIAMOND[2], "succeeded", since=SINCE),
        saga_node(DIAMOND[3], "never_started", waiting_on=["disk"]),
        saga_node(DIAMOND[4], "succeeded"),
        saga_node(DIAMOND[5], "never_started", waiting_on=["server"]),
    ],
    "injections": [
        {"injection": {"kind": "repeat", "node_name": "address\x1b[2J", "call": "action", "times": 2}, "fired": True},
        {"injection": {"kind": "fail", "node_name": "server", "call": "action"}, "fired": False},
        {
            "injection": {"kind": "crash_at", "node_name": "disk", "event": "undo_started", "when": "after"},
            "fired": False,
        },
    ],
    "history": [
        {
            "claim": number,
            "sec_id": "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c",
            "adopt_generation": 1,
            "time": time,
            "reason": reason,
        }
        for number, time, reason in ((1, "2024-08-12T20:20:40Z", "created"), (2, SINCE, "recovered"))
    ],
}
STUCK_SAGA = {
    **RUNNING_SAGA,
    "id": SAGAS[3][0],
    "state": {
        "state": "stuck",
        "error_node_name": "server",
        "error_info": {"error": "action_failed", "source_error": {"message": "no sled has room\x1b[2J"}},
        "undo_error_node_name": "disk",
        "undo_source_error": {"message": "the disk is attached", "attached_to": 3},
    },
    "nodes": [
        saga_node(DIAMOND[0], "succeeded"),
        saga_node(DIAMOND[1], "undo_failed", since=SINCE, repeated_undos=9),
        saga_node(DIAMOND[2], "undo_finished", since=SINCE),
        saga_node(DIAMOND[3], "failed", since=SINCE),
        saga_node(DIAMOND[4], "succeeded"),
        saga_node(DIAMOND[5], "never_started"),
    ],
    "injections": [],
}
FAILED_SAGA = {
    **STUCK_SAGA,
    "id": "7d6f8f66-55d2-4b38-a4a5-9ed1b2ac3ef1",
    "state": {
        "state": "failed",
        "error_node_name": "server",
        "error_info": {"error": "deserialize_failed", "message": "Expected `int`, got `str`"},
    },
    "nodes": [
        saga_node(DIAMOND[0], "succeeded"),
        saga_node(DIAMOND[1], "undo_finished", since=SINCE),
        *STUCK_SAGA["nodes"][2:],  # type: ignore[index]
    ],
}
WAITING_SAGA = {
    **RUNNING_SAGA,
    "id": SAGAS[1][0],
    "unwinding": True,
    "waiting_for": "actions not registered here: diamond.boot",
    "history": None,
    "injections": [],
    "nodes": [
        saga_node(dag_node(0, "disk", "CreateDisk", "diamond.create_disk", [5]), "succeeded"),
        saga_node(
            dag_node(1, "net/(start node)", '(subsaga start: "network", with parameters from "disk")', None, [0]),
            "undo_started",
        ),
        saga_node(dag_node(2, "net/port", "CreatePort", "diamond.create_port", [1]), "undo_finished"),
        saga_node(dag_node(3, "net", "(subsaga end)", None, [2]), "undo_finished"),
        saga_node(dag_node(4, "server", "Boot", "diamond.boot", [3]), "failed"),
        saga_node(dag_node(5, "(start node)", "(start node)", None, []), "succeeded"),
        saga_node(dag_node(6, "(end node)", "(end node)", None, [4]), "never_started"),
    ],
}


def saga_path(saga: dict[str, object]) -> str:
    return f"/experimental/sagas/{saga['id']}"


def test_showing_sagas() -> None:
    missing = f'not found: saga-dbg with id "{SAGAS[2][0]}"'
    shown = (RUNNING_SAGA, STUCK_SAGA, FAILED_SAGA, WAITING_SAGA)
    canned = CannedHttp({f"GET {saga_path(saga)}": (200, saga) for saga in shown})
    refusal = {"request_id": REQUEST_ID, "error_code": "ObjectNotFound", "message": missing}
    canned.answers[f"GET /experimental/sagas/{SAGAS[2][0]}"] = (404, refusal)
    with canned.serve() as url:
        commands = [f"nexus sagas show {saga['id']}" for saga in shown]
        commands += [f"nexus sagas show {SAGAS[2][0]}", f"--color always nexus sagas show {RUNNING_SAGA['id']}"]
        text = transcript(commands, environ={"OMDB_NEXUS_URL": url})
    check_golden("omdb/saga_show.txt", Redactor().redact_ports(text))


def test_breaking_and_releasing_sagas() -> None:
    path = saga_path(RUNNING_SAGA)
    canned = CannedHttp(
        {f"POST {path}/inject": (204, b""), f"POST {path}/release": (200, {"node_names": ["disk", "route"]})}
    )
    inject, release = (f"nexus sagas {word} {RUNNING_SAGA['id']}" for word in ("inject", "release"))
    with canned.serve() as url:
        environ = {"OMDB_NEXUS_URL": url}
        commands = [
            f"{inject} disk fail-action",
            *(f"-w {inject} disk {fault}" for fault in ("fail-undo", "repeat-action=3", "crash-after=undo_started")),
            *(
                f"-w {inject} disk {fault}"
                for fault in ("fail", "repeat-action=x", "repeat-undo=1000000000", "repeat-undo=1", "crash-before=end")
            ),
            f"{release}",
            f"-w {release}",
            f"-w {release} disk",
        ]
        text = transcript(commands, environ=environ)
        assert [msgspec.json.decode(body) for _, _, body in canned.requests] == [
            {"kind": "fail", "node_name": "disk", "call": "undo"},
            {"kind": "repeat", "node_name": "disk", "call": "action", "times": 3},
            {"kind": "crash_at", "node_name": "disk", "event": "undo_started", "when": "after"},
            {"node_name": None},
            {"node_name": "disk"},
        ]
        canned.answers[f"POST {path}/release"] = (200, {"node_names": []})
        text += "\n" + transcript([f"-w {release}"], environ=environ)
        canned.answers[f"POST {path}/release"] = (200, {"node_names": ["server"], "held": False})
        text += "\n" + transcript([f"-w {release} server"], environ=environ)
    check_golden("omdb/saga_faults.txt", Redactor().redact_ports(text))


def test_no_sagas() -> None:
    with CannedHttp(saga_pages([[]])).serve() as url:
        text = transcript(["nexus sagas list"], environ={"OMDB_NEXUS_URL": url})
    check_golden("omdb/no_sagas.txt", Redactor().redact_ports(text))


def test_sagas_that_cannot_be_read() -> None:
    items: list[object] = [
        {"id": SAGAS[0][0], "state": SAGAS[0][1]},
        {"id": SAGAS[1][0], "state": {"state": "quiescing\x1b[2J"}},
        {"id": 3, "state": {"state": "running"}},
        "saga",
    ]
    answers: dict[str, tuple[int, object]] = {
        "GET /sagas?limit=1000": (200, {"items": items, "next_page": "x"}),
        "GET /sagas?limit=1000&page_token=x": (200, {"items": [], "next_page": None}),
    }
    with CannedHttp(answers).serve() as url:
        text = transcript(["nexus sagas list"], environ={"OMDB_NEXUS_URL": url})
    check_golden("omdb/odd_sagas.txt", Redactor().redact_ports(text))


def test_failures_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """One transcript for each kind of server that is not a Nexus in good health."""
    monkeypatch.setattr(http_connection, "EXCHANGE_TIMEOUT_S", 0.2)
    text = ""
    with ExitStack() as servers:  # all at once, so that no two have the same port
        for heading, reply in {
            "sends nothing and closes": b"",
            "speaks another protocol": b"SSH-2.0-OpenSSH_9.2p1\r\n",
            "speaks TLS": b"\x15\x03\x01\x00\x02\x02\x46",
            "closes inside the head": b"HTTP/1.1 200 OK\r\ncontent-type: application/js",
            "closes inside the body": b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"items":',
            "closes inside a chunk": b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n20\r\n{"items":',
            "sends a broken head": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            "sends a broken length": b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
            "answers with HTML": b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>hi</html>",
            "answers with other JSON": b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"items": "x"}',
            "redirects": b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
            "fails without an error body": b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 12\r\n\r\nBad\r\nGateway",
            "says nothing for too long": None,
            "stops in the middle for too long": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",),
        }.items():

            def converse(connection: socket.socket, reply: bytes | tuple[bytes] | None = reply) -> None:
                connection.recv(65_536)
                connection.sendall((reply if isinstance(reply, bytes) else reply[0]) if reply else b"")
                if not isinstance(reply, bytes):
                    connection.recv(1)

            environ = {"OMDB_NEXUS_URL": f"http://{LOOPBACK}:{servers.enter_context(raw_server(converse))}"}
            text += f"\n# The server {heading}.\n" + transcript(["nexus background-tasks list"], environ=environ)
    check_golden("omdb/server_failures.txt", Redactor().redact_ports(text))


def test_failures_to_connect() -> None:
    with closed_port() as port, CannedHttp({}).serve() as url:
        commands = [
            f"nexus --nexus-internal-url http://{LOOPBACK}:{port} sagas list",
            f"nexus --nexus-internal-url http://{LOOPBACK}:{port} sagas demo-create",
            f"nexus --nexus-internal-url http://{LOOPBACK}:{port} -w sagas demo-create",
            f"nexus --nexus-internal-url http://{LOOPBACK}:{port} background-tasks show",
            f"nexus --nexus-internal-url {url} sagas list",
            f"nexus --nexus-internal-url {url}/prefix/ background-tasks doc",
        ]
        check_golden("omdb/connect_failures.txt", Redactor().redact_ports(transcript(commands)))


NEXUS = "_nexus-lockstep._tcp.control-plane.oxide.internal"


def test_picking_a_nexus_from_dns() -> None:
    text = ""
    with (
        ExitStack() as servers,  # all at once, so that no two have the same port
        CannedHttp(saga_pages([SAGAS[:1], []])).serve() as url,
        closed_port() as closed,
    ):
        port = int(url.rpartition(":")[2])
        good, refusing = f"1 0 {port} one.host.test.", f"0 0 {closed} one.host.test."
        address = {"A one.host.test": ["127.0.0.1"]}
        for heading, records, arguments in (
            ("One Nexus, which answers", {f"SRV {NEXUS}": [good], **address}, {}),
            ("The same by TCP, as the answer is too long", {f"SRV {NEXUS}": [good], **address}, {"truncate": True}),
            ("One that answers and one that refuses", {f"SRV {NEXUS}": [refusing, good], **address}, {}),
            ("None that answers", {f"SRV {NEXUS}": [refusing], **address}, {}),
            ("None at all", address, {}),
            ("No SRV record", {f"A {NEXUS}": ["127.0.0.1"]}, {}),
            ("No address", {f"SRV {NEXUS}": [good]}, {}),
            ("A server that has no such zone", {}, {"rcode": 2}),
        ):
            dns_port = servers.enter_context(canned_dns(records, **arguments))
            environ = {"OMDB_DNS_SERVER": f"{LOOPBACK}:{dns_port}"}
            commands = ["nexus sagas list"]
            if heading.startswith("One Nexus"):
                commands += ["nexus sagas demo-create", "nexus background-tasks activate saga_recovery"]
            text += f"\n# {heading}.\n" + transcript(commands, environ=environ)
        with canned_dns({}) as dns_port:
            pass
        environ = {"OMDB_DNS_SERVER": f"{LOOPBACK}:{dns_port}"}
        text += "\n# Nothing answers DNS.\n" + transcript(["nexus sagas list"], environ=environ)
    check_golden("omdb/dns.txt", Redactor().redact_ports(text))


def test_background_tasks() -> None:
    canned = CannedHttp({"GET /bgtasks": (200, HEALTHY), "POST /bgtasks/activate": (204, b"")})
    commands = [
        "nexus background-tasks doc",
        "nexus background-tasks list",
        "nexus background-tasks show",
        "nexus background-tasks show saga_recovery",
        "nexus background-tasks show --no-executing-info dns_external session_cleanup",
        "nexus background-tasks show dns_internal dns_config_internal --no-executing-info",
        "nexus background-tasks show saga_recvery",
        "nexus background-tasks activate saga_recovery",
        "nexus background-tasks activate -w saga_recovery dns_config_internal",
    ]
    with canned.serve() as url:
        text = transcript(commands, environ={"OMDB_NEXUS_URL": url})
    check_golden("omdb/background_tasks.txt", Redactor().redact_ports(text))


def test_background_tasks_with_trouble() -> None:
    strange: dict[str, object] = {**ODD, "strange": {"name": "strange", "period": 3}}
    unknown = {
        "request_id": REQUEST_ID,
        "error_code": "ObjectNotFound",
        "message": "not found: background tasks: a, b",
    }
    canned = CannedHttp({"GET /bgtasks": (200, strange), "POST /bgtasks/activate": (404, unknown)})
    commands = [
        "nexus background-tasks list",
        "nexus background-tasks show",
        "nexus background-tasks show fm_analysis",
        "nexus background-tasks activate -w a b saga_recovery",
    ]
    with canned.serve() as url:
        text = transcript(commands, environ={"OMDB_NEXUS_URL": url})
    check_golden("omdb/background_tasks_trouble.txt", Redactor().redact_ports(text))


def transcript_of_details(forms: Sequence[tuple[str, dict[str, object]]]) -> str:
    """Of one server: of several that follow one another, one may have the port of another."""
    text = ""
    canned = CannedHttp({})
    with canned.serve() as url:
        for name, form in forms:
            canned.answers["GET /bgtasks"] = 200, {name: task(name, form)}
            text += transcript(["nexus background-tasks show"], environ={"OMDB_NEXUS_URL": url})
    return text


def test_every_form_of_saga_recovery() -> None:
    counts = {"nfound": 12, "nrecovered": 3, "nfailed": 2, "nskipped": 7, "nremoved": 5}
    loss = {"time": "2024-08-12T20:21:00Z", "saga_id": str(UUID(int=7)), "new_sec": str(UUID(int=8))}
    forms = (
        {**SAGA_RECOVERY, "recent_losses": [loss], "ntotal_lost_to_adoption": 1},
        {**SAGA_RECOVERY, "last_pass": "NeverStarted", "recent_recoveries": []},
        {**SAGA_RECOVERY, "last_pass": {"Success": counts}},
        {**SAGA_RECOVERY, "ntotal_recovered": 10_006, "last_pass": {"Success": {**counts, "nfound": 10_006}}},
        {**SAGA_RECOVERY, "last_pass": {"Neither": {}}},
    )
    text = transcript_of_details([("saga_recovery", form) for form in forms])
    check_golden("omdb/saga_recovery.txt", Redactor().redact_ports(text))


def test_every_form_of_the_tasks_about_blueprints() -> None:
    counts = {"blueprint_count": 12, "limit": 5000}
    waiting = {"zone_id": str(UUID(int=7)), "address": "[::1]:12223", "reason": "somebody listens there"}
    forms: tuple[tuple[str, dict[str, object]], ...] = (
        ("blueprint_executor", {"error": "no blueprint"}),
        ("blueprint_executor", {"target_id": BLUEPRINT_IDS[1], "enabled": False}),
        ("blueprint_executor", {**EXECUTED, "event_report": {"steps": []}}),
        ("blueprint_executor", {**EXECUTED, "event_report": {"steps": "none"}}),
        ("blueprint_planner", {"status": "limit_reached", **counts}),
        ("blueprint_planner", {"status": "unchanged", "parent_blueprint_id": BLUEPRINT_IDS[0], **counts}),
        (
            "blueprint_planner",
            {
                "status": "targeted",
                "parent_blueprint_id": BLUEPRINT_IDS[0],
                "blueprint_id": BLUEPRINT_IDS[1],
                "comment": "expunged sled",
                **counts,
            },
        ),
        ("blueprint_planner", {"status": "asleep"}),
        ("expunged_zone_watcher", {"waiting_for": [waiting], "ready_for_cleanup": []}),
        ("expunged_zone_watcher", {"waiting_for": [], "ready_for_cleanup": [str(UUID(int=8))]}),
        ("blueprint_executor", {"target_id": BLUEPRINT_IDS[1], "enabled": True, "error": "this Nexus is expunged"}),
        ("blueprint_planner", {"error": "this Nexus is expunged"}),
        ("expunged_zone_watcher", {"error": "this Nexus is expunged"}),
    )
    text = transcript_of_details(forms)
    check_golden("omdb/blueprint_tasks.txt", Redactor().redact_ports(text))


def test_reports_of_background_tasks() -> None:
    steps = [step("Deploy DNS records", "no changes", elapsed_ms=number) for number in range(11)]
    tasks = {
        "blueprint_executor": task("blueprint_executor", EXECUTED),
        "many_steps": task("many_steps", {"event_report": {"steps": steps}}),
        "no_report": task("no_report", {}),
        "never_ran": task("never_ran", None, last={"last_result": "never_completed"}),
        "odd_report": task("odd_report", {"event_report": {"steps": "none"}}),
        "strange": {"name": "strange", "period": 3},
    }
    commands = [f"nexus background-tasks print-report {name}" for name in (*tasks, "unknown")]
    with CannedHttp({"GET /bgtasks": (200, tasks)}).serve() as url:
        text = transcript(commands, environ={"OMDB_NEXUS_URL": url})
    check_golden("omdb/background_task_reports.txt", Redactor().redact_ports(text))
