"""Background tasks `dns_propagation_internal` and `dns_propagation_external`: has the DNS servers say what they should.

Details: `{"generation": N, "server_results": {"[::1]:5353": {"Ok": null}, "[::1]:5354": {"Err": "..."}}}`, or
`{"error": "no config nor servers" | "no config" | "no servers"}` while the other two tasks have found nothing yet.
A server that has a newer generation is an `Err`, too, as it is upstream; but that is mostly so since another Nexus has
made it, and this one will know of it soon, so the log does not warn.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from dropshot.client import ClientError
from nexus.clients.dns_servers import DnsServerAhead, DnsServerRefused, put_dns_config

if TYPE_CHECKING:
    from dropshot.address import SocketAddr
    from dropshot.logging import Log
    from nexus.background.activator import Watch
    from nexus.dns_types import DnsConfigParams

SERVER_TIMEOUT_S = 15.0


class DnsPropagationTask:
    """Sends the configuration to every server, whether it has it or not: a server may have lost what it had."""

    def __init__(
        self,
        *,
        config: Watch[DnsConfigParams | None],
        servers: Watch[tuple[SocketAddr, ...] | None],
        max_concurrent_updates: int,
        log: Log,
    ) -> None:
        self._config = config
        self._servers = servers
        self._max_concurrent_updates = max_concurrent_updates
        self._log = log

    async def activate(self) -> dict[str, object]:
        config, servers = self._config.value, self._servers.value
        if config is None or servers is None:
            missing = [what for what, value in (("config", config), ("servers", servers)) if value is None]
            return {"error": f"no {' nor '.join(missing)}"}
        results: dict[SocketAddr, dict[str, object]] = {}
        limit = trio.CapacityLimiter(self._max_concurrent_updates)
        async with trio.open_nursery() as nursery:
            for server in servers:
                nursery.start_soon(partial(self._propagate, config, server, limit=limit, results=results))
        return {
            "generation": config.generation,
            "server_results": {str(server): results[server] for server in sorted(results)},
        }

    async def _propagate(
        self,
        config: DnsConfigParams,
        server: SocketAddr,
        *,
        limit: trio.CapacityLimiter,
        results: dict[SocketAddr, dict[str, object]],
    ) -> None:
        async with limit:
            try:
                await put_dns_config(server, config, timeout_s=SERVER_TIMEOUT_S)
            except (ClientError, DnsServerRefused) as error:
                text = f"failed to propagate DNS generation {config.generation} to server {server}: {error}"
                if isinstance(error, DnsServerAhead):
                    self._log.info("DNS server has a newer generation", server=str(server), reason=str(error))
                else:
                    self._log.warning("DNS server not brought up to date", server=str(server), error=str(error))
                results[server] = {"Err": text}
            else:
                results[server] = {"Ok": None}
