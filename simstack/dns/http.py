"""The DNS server's HTTP API: `GET /config` and `PUT /config`, in versions 1.0.0 and 2.0.0 (`dns-server-2.0.0`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from dropshot.app import App, current_request, new_app, no_content, read_json, reply
from dropshot.errors import HttpError, bad_request
from dropshot.server import serve
from dropshot.versions import ApiVersion, ApiVersions
from simstack.dns.config import DnsConfigParams, DnsConfigParamsV1, IncompatibleRecord, StaleGeneration

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.address import SocketAddr
    from dropshot.logging import Log
    from simstack.dns.store import DnsStore

SOA_AND_NS = ApiVersion(2, 0, 0)
API_VERSIONS = ApiVersions(oldest=ApiVersion(1, 0, 0), newest=SOA_AND_NS)

MAX_BODY_BYTES = 4 * 1024 * 1024
"""As upstream's test server. Some 60,000 records."""


async def serve_dns_http(
    store: DnsStore,
    bind: SocketAddr,
    *,
    log: Log,
    task_status: trio.TaskStatus[SocketAddr] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the configuration API of `store` until cancelled. Starts with the bound address. Raises ListenError."""
    await serve(dns_http_app(store, log=log), bind, log=log, task_status=task_status)


def dns_http_app(store: DnsStore, *, log: Log) -> App:
    app = new_app("http", log=log, max_body_bytes=MAX_BODY_BYTES, api_versions=API_VERSIONS)

    @app.get("/config")
    async def dns_config_get() -> TrioResponse:
        if _is_v1():
            try:
                return reply(store.config.downgraded())
            except IncompatibleRecord as error:
                # Upstream's message is this word; which record it was is for the log.
                raise HttpError(400, "IncompatibleRecord", internal_message=str(error)) from None
        return reply(store.config)

    @app.put("/config")
    async def dns_config_put() -> TrioResponse:
        try:
            params = (await read_json(DnsConfigParamsV1)).upgraded() if _is_v1() else await read_json(DnsConfigParams)
            replaced = store.apply(params)
        except StaleGeneration as error:
            raise HttpError(409, str(error), error_code="BadUpdateGeneration") from None
        except ValueError as error:
            raise bad_request(str(error)) from None
        if replaced:
            current_request().log.info("serving a new DNS configuration", generation=params.generation)
        return no_content()

    return app


def _is_v1() -> bool:
    version = current_request().api_version
    assert version is not None, "the application was made with API versions"
    return version < SOA_AND_NS
