"""The DNS server's HTTP configuration API over a real socket."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from dropshot.address import SocketAddr
from dropshot.client import Response, request
from dropshot.logging import BunyanForm, log_to
from simstack.dns.http import MAX_BODY_BYTES, serve_dns_http
from simstack.dns.store import DnsStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    OpenApi = Callable[[str, str, str, int, bytes], None]

V1, V2 = "1.0.0", "2.0.0"
CREATED = "2026-01-01T00:00:00Z"
TIMEOUT_S = 10


class ConfigClient:
    def __init__(self, address: SocketAddr) -> None:
        self._address = address

    async def get(self, version: str | None = V2) -> Response:
        return await self._request("GET", b"", version)

    async def put(self, body: object, version: str | None = V2) -> Response:
        return await self._request("PUT", body if isinstance(body, bytes) else json.dumps(body).encode(), version)

    async def _request(self, method: str, body: bytes, version: str | None) -> Response:
        headers = [("api-version", version)] if version is not None else []
        return await request(self._address, method, "/config", headers=headers, body=body, timeout_s=TIMEOUT_S)


@asynccontextmanager
async def serving(store: DnsStore) -> AsyncIterator[ConfigClient]:
    log = log_to(io.StringIO(), form=BunyanForm())
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(serve_dns_http, store, SocketAddr("127.0.0.1", 0), log=log))
            yield ConfigClient(address)
            nursery.cancel_scope.cancel()


def zone(**records: list[dict[str, Any]]) -> dict[str, Any]:
    return {"zone_name": "Example.test", "records": records}


def params(generation: int, *zones: dict[str, Any], serial: int | None = 5) -> dict[str, Any]:
    body = {"generation": generation, "time_created": CREATED, "zones": list(zones)}
    return body if serial is None else body | {"serial": serial}


WWW: dict[str, Any] = {"type": "A", "data": "127.0.0.1"}
NS1: dict[str, Any] = {"type": "NS", "data": "ns1.example.test"}
SERVICE: dict[str, Any] = {"type": "SRV", "data": {"prio": 0, "weight": 0, "port": 12221, "target": "www.example.test"}}


def error(response: Response) -> tuple[int, str | None, str]:
    body = json.loads(response.body)
    assert body.keys() <= {"request_id", "error_code", "message"}
    assert body["request_id"] == response.header("x-request-id")
    return response.status, body.get("error_code"), body["message"]


async def test_what_was_put_is_got_and_served(check_openapi: OpenApi) -> None:
    store = DnsStore()
    async with serving(store) as client:
        fresh = await client.get()
        check_openapi("dns-server-2.0.0-75e4cc.json", "get", "/config", fresh.status, fresh.body)
        assert json.loads(fresh.body).items() >= {"generation": 0, "serial": 0, "zones": []}.items()
        done = await client.put(params(1, zone(www=[WWW], empty=[], **{"@": [NS1], "_s._tcp": [SERVICE]})))
        check_openapi("dns-server-2.0.0-75e4cc.json", "put", "/config", done.status, done.body)
        assert done.status == 204
        got = await client.get()
        check_openapi("dns-server-2.0.0-75e4cc.json", "get", "/config", got.status, got.body)
    assert store.config.generation == 1


async def test_a_configuration_as_stored() -> None:
    async with serving(DnsStore()) as client:
        await client.put(params(1, zone(www=[WWW], empty=[])))
        got = json.loads((await client.get()).body)
    assert got.pop("time_applied")
    assert got == {
        "generation": 1,
        "serial": 5,
        "time_created": CREATED,
        "zones": [{"zone_name": "example.test", "records": {"www": [WWW]}}],
    }


async def test_generations() -> None:
    async with serving(DnsStore()) as client:
        assert (await client.put(params(5, zone(www=[WWW])))).status == 204
        assert (await client.put(params(5))).status == 204
        assert json.loads((await client.get()).body)["zones"] != []
        assert error(await client.put(params(4))) == (
            409,
            "BadUpdateGeneration",
            "unsupported attempt to update to generation 4 while at generation 5",
        )
        assert (await client.put(params(6))).status == 204
        assert json.loads((await client.get()).body)["zones"] == []


async def test_version_1_has_no_serial_and_no_name_servers() -> None:
    store = DnsStore()
    async with serving(store) as client:
        assert (await client.put(params(4, zone(www=[WWW]), serial=None), V1)).status == 204
        assert store.config.serial == 4
        got = json.loads((await client.get(V1)).body)
        assert got.keys() == {"generation", "time_created", "time_applied", "zones"}
        refused = await client.put(params(5, zone(**{"@": [NS1]}), serial=None), V1)
        assert refused.status == 400
        too_new = await client.put(params(2**32, serial=None), V1)
        assert error(too_new) == (400, None, f"generation {2**32} does not fit in a serial number (32 bits)")
        assert (await client.put(params(5, zone(**{"@": [NS1]})))).status == 204
        assert error(await client.get(V1)) == (400, None, "IncompatibleRecord")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, 'missing expected header "api-version"'),
        ("two", 'bad value for header "api-version": '),
        ("2.0.1", "server does not support this API version: 2.0.1"),
    ],
)
async def test_the_version_header_is_required(version: str | None, message: str) -> None:
    async with serving(DnsStore()) as client:
        for response in (await client.get(version), await client.put(params(1), version)):
            status, code, said = error(response)
            assert (status, code) == (400, None)
            assert said.startswith(message)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "unable to parse JSON body"),
        (b"{", "unable to parse JSON body"),
        (b"\xff", "unable to parse JSON body"),
        (params(1, serial=None), "missing required field `serial`"),
        (params(-1), "generation: Expected `int` >= 0"),
        (params(2**64), "generation does not fit in 64 bits"),
        (params(1, serial=2**32), "serial: Expected `int` <= 4294967295"),
        (params(1, zone(www=[{"type": "A", "data": "::1"}])), "::1"),
        (params(1, zone(www=[{"type": "MX", "data": "x"}])), "Invalid value 'MX'"),
        (params(1, zone(**{"a..b": [WWW]})), "zone 'example.test', name 'a..b': empty label"),
        (params(1, zone(), zone()), "zone 'example.test' is configured twice"),
        (b" " * (MAX_BODY_BYTES + 1), f"{MAX_BODY_BYTES}"),
    ],
)
async def test_bad_input_is_refused_and_changes_nothing(body: object, complaint: str) -> None:
    store = DnsStore()
    async with serving(store) as client:
        status, _, message = error(await client.put(body))
    assert status == 400
    assert complaint in message
    assert store.config.generation == 0
