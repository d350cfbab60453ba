"""A management gateway: `gateway-3.0.0` over HTTP, answered from a `SimulatedHardware`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio

from dropshot.app import App, error_response, new_app, reply
from dropshot.errors import HttpError, bad_request
from dropshot.server import serve
from dropshot.versions import ApiVersion, ApiVersions
from simstack.gateway.model import NoSuchSp
from simstack.gateway.types import SpIdentifier

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.address import SocketAddr
    from dropshot.logging import Log
    from simstack.gateway.model import SimulatedHardware

API_VERSIONS = ApiVersions(oldest=ApiVersion(1, 0, 0), newest=ApiVersion(3, 0, 0))
"""The versions differ only in hardware that is not simulated (2.0.0 added Cosmo sleds)."""

MAX_BODY_BYTES = 1024 * 1024


async def serve_gateway(
    model: SimulatedHardware,
    bind: SocketAddr,
    *,
    log: Log,
    task_status: trio.TaskStatus[SocketAddr] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway of `model` until cancelled. Starts with the bound address. Raises ListenError."""
    await serve(gateway_app(model, log=log), bind, log=log, task_status=task_status)


def gateway_app(model: SimulatedHardware, *, log: Log) -> App:
    app = new_app("dropshot", log=log, max_body_bytes=MAX_BODY_BYTES, api_versions=API_VERSIONS)

    @app.errorhandler(NoSuchSp)
    async def no_such_sp(error: NoSuchSp) -> TrioResponse:
        return await error_response(HttpError(400, str(error), error_code="InvalidSp"))

    @app.get("/local/all-sp-ids")
    async def sp_all_ids() -> TrioResponse:
        return reply(list(model.sps))

    @app.get("/local/switch-id")
    async def sp_local_switch_id() -> TrioResponse:
        return reply(model.local_switch)

    @app.get("/ignition")
    async def ignition_list() -> TrioResponse:
        return reply([model.ignition_of(identifier) for identifier in model.sps])

    @app.get("/ignition/<type_>/<slot>")
    async def ignition_get(type_: str, slot: str) -> TrioResponse:
        return reply(model.ignition_of(_identifier(type_, slot)))

    @app.get("/sp/<type_>/<slot>")
    async def sp_get(type_: str, slot: str) -> TrioResponse:
        return reply(model.sp(_identifier(type_, slot)).state())

    return app


def _identifier(type_: str, slot: str) -> SpIdentifier:
    """The path's service processor, which need not exist. Raises HttpError 400 if it cannot."""
    try:
        return msgspec.convert({"type": type_, "slot": int(slot) if slot.isdecimal() else slot}, SpIdentifier)
    except msgspec.ValidationError as error:
        raise bad_request(f"bad parameter in URL path: {error}") from None
