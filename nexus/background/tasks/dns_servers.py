"""Background tasks `dns_servers_internal` and `dns_servers_external`: where the DNS servers of a group are.

They are found through internal DNS, by the SRV records of their HTTP addresses.

Details: `{"addresses": ["[::1]:5353", ...]}`, or `{"error": "failed to read list of DNS servers: ..."}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.clients.dns_lookup import lookup_service
from nexus.clients.resolver import INTERNAL_ZONE, ResolverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dropshot.address import SocketAddr
    from nexus.background.activator import Watch
    from nexus.dns_types import DnsGroup

SERVICE_NAMES: Mapping[DnsGroup, str] = {
    "internal": f"_nameservice._tcp.{INTERNAL_ZONE}",
    "external": f"_external-dns._tcp.{INTERNAL_ZONE}",
}


class DnsServersTask:
    """Sends the addresses to `servers` when they are others than before. A failed lookup leaves them as they are."""

    def __init__(
        self, group: DnsGroup, *, internal_dns: Sequence[SocketAddr], servers: Watch[tuple[SocketAddr, ...] | None]
    ) -> None:
        self._service = SERVICE_NAMES[group]
        self._internal_dns = internal_dns
        self._servers = servers

    async def activate(self) -> dict[str, object]:
        try:
            found = await lookup_service(self._service, servers=self._internal_dns)
        except ResolverError as error:
            return {"error": f"failed to read list of DNS servers: {error}"}
        addresses = tuple(sorted(found))  # DNS may give them in any order; that is no change
        if addresses != self._servers.value:
            self._servers.send(addresses)
        return {"addresses": [str(address) for address in addresses]}
