"""Two management gateways over real sockets, against upstream's OpenAPI document where it is at hand."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from dropshot.address import SocketAddr
from dropshot.client import Response, request
from dropshot.logging import BunyanForm, log_to
from simstack.gateway.model import SimulatedHardware
from simstack.gateway.server import serve_gateway
from simstack.gateway.sp_sim import load_sp_sim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    OpenApi = Callable[[str, str, str, int, bytes], None]

DOCUMENT = "gateway-3.0.0-dacda2.json"
DEFAULT_FILE = Path(__file__).parents[3] / "configs/sp-sim.toml"
TIMEOUT_S = 10


class GatewayClient:
    def __init__(self, address: SocketAddr) -> None:
        self._address = address

    async def get(self, path: str, version: str | None = "3.0.0") -> Response:
        headers = [("api-version", version)] if version is not None else []
        return await request(self._address, "GET", path, headers=headers, timeout_s=TIMEOUT_S)


@asynccontextmanager
async def gateway(switch_slot: int = 0) -> AsyncIterator[GatewayClient]:
    log = log_to(io.StringIO(), form=BunyanForm())
    model = SimulatedHardware.new(load_sp_sim(DEFAULT_FILE), switch_slot=switch_slot)
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(serve_gateway, model, SocketAddr("127.0.0.1", 0), log=log))
            yield GatewayClient(address)
            nursery.cancel_scope.cancel()


async def test_answers_are_as_the_document_says(check_openapi: OpenApi) -> None:
    async with gateway() as client:
        for route, path in [
            ("/local/all-sp-ids", "/local/all-sp-ids"),
            ("/local/switch-id", "/local/switch-id"),
            ("/ignition", "/ignition"),
            ("/ignition/{type}/{slot}", "/ignition/sled/1"),
            ("/ignition/{type}/{slot}", "/ignition/switch/0"),
            ("/ignition/{type}/{slot}", "/ignition/power/0"),
            ("/sp/{type}/{slot}", "/sp/sled/0"),
            ("/sp/{type}/{slot}", "/sp/switch/1"),
            ("/sp/{type}/{slot}", "/sp/switch/7"),
        ]:
            response = await client.get(path)
            check_openapi(DOCUMENT, "get", route, response.status, response.body)


@pytest.mark.parametrize("slot", [0, 1])
async def test_a_gateway_knows_its_switch_and_every_sp(slot: int) -> None:
    async with gateway(slot) as client:
        switch_id = json.loads((await client.get("/local/switch-id")).body)
        ids = json.loads((await client.get("/local/all-sp-ids")).body)
        ignition = json.loads((await client.get("/ignition")).body)
    assert switch_id == {"type": "switch", "slot": slot}
    assert ids == [
        {"type": "switch", "slot": slot},
        {"type": "switch", "slot": 1 - slot},
        {"type": "sled", "slot": 0},
        {"type": "sled", "slot": 1},
    ]
    assert [info["id"] for info in ignition] == ids
    assert {info["details"]["present"] for info in ignition} == {"yes"}
    assert [info["details"]["id"]["system_type"] for info in ignition] == ["sidecar", "sidecar", "gimlet", "gimlet"]


async def test_the_state_of_an_sp() -> None:
    async with gateway() as client:
        state = json.loads((await client.get("/sp/sled/0")).body)
    assert state == {
        "serial_number": "SimGimlet00",
        "model": "i86pc",
        "revision": 0,
        "hubris_archive_id": "0000000000000000",
        "base_mac_address": [0, 0, 0, 0, 0, 0],
        "power_state": "A0",
        "rot": {
            "state": "v3",
            "active": {"slot": "a"},
            "persistent_boot_preference": {"slot": "a"},
            "pending_persistent_boot_preference": None,
            "transient_boot_preference": None,
            "slot_a_fwid": "a" * 64,
            "slot_b_fwid": "b" * 64,
            "stage0_fwid": "c" * 64,
            "stage0next_fwid": "d" * 64,
            "slot_a_error": None,
            "slot_b_error": None,
            "stage0_error": None,
            "stage0next_error": None,
        },
    }


@pytest.mark.parametrize("what", ["sp", "ignition"])
@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("sled/2", "InvalidSp", "nonexistent SP (sled 2)"),
        ("power/0", "InvalidSp", "nonexistent SP (power 0)"),
        ("fan/0", None, "bad parameter in URL path: "),
        ("sled/-1", None, "bad parameter in URL path: "),
        ("sled/65536", None, "bad parameter in URL path: "),
        ("sled/one", None, "bad parameter in URL path: "),
    ],
)
async def test_other_sps_are_refused(what: str, path: str, code: str | None, message: str) -> None:
    async with gateway() as client:
        response = await client.get(f"/{what}/{path}")
    body = json.loads(response.body)
    assert response.status == 400
    assert body.get("error_code") == code
    assert body["message"].startswith(message)
    assert body["request_id"] == response.header("x-request-id")


@pytest.mark.parametrize(
    ("version", "status"), [("1.0.0", 200), ("2.0.0", 200), ("3.0.0", 200), ("4.0.0", 400), (None, 400)]
)
async def test_versions(version: str | None, status: int) -> None:
    async with gateway() as client:
        assert (await client.get("/local/switch-id", version)).status == status


async def test_what_is_not_served_is_not_found() -> None:
    async with gateway() as client:
        assert (await client.get("/sp/sled/0/component")).status == 404
