"""Telling a DNS server its configuration: `PUT /config`, as upstream's DNS server API 2.0.0 has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dropshot.client import request
from nexus.api.types import ErrorBody

if TYPE_CHECKING:
    from dropshot.address import SocketAddr
    from nexus.dns_types import DnsConfigParams

API_VERSION = "2.0.0"
AHEAD = "BadUpdateGeneration"


class DnsServerRefused(Exception):
    """The server answered and did not take the configuration. The message is its status and its own words."""


class DnsServerAhead(DnsServerRefused):
    """The server has a newer generation: another Nexus knew of it earlier."""


async def put_dns_config(server: SocketAddr, config: DnsConfigParams, *, timeout_s: float) -> None:
    """Replace what the server at `server` (its HTTP address) serves.

    A server that has this generation already answers as if it had just taken it, so this may be repeated. Raises
    DnsServerAhead, DnsServerRefused, and dropshot.client.ClientError.
    """
    response = await request(
        server,
        "PUT",
        "/config",
        headers=[("api-version", API_VERSION)],
        body=msgspec.json.encode(config),
        timeout_s=timeout_s,
    )
    if response.status != 204:
        raise _refusal(response.status, response.body)


def _refusal(status: int, body: bytes) -> DnsServerRefused:
    try:
        error = msgspec.json.decode(body, type=ErrorBody)
    except msgspec.DecodeError:
        return DnsServerRefused(f"{status} without a readable reason")
    said = f"{status} {error.error_code}: {error.message}" if error.error_code else f"{status} {error.message}"
    return DnsServerAhead(said) if error.error_code == AHEAD else DnsServerRefused(said)
