"""Background task `external_endpoints`: under which DNS names the external API is reached, and for which silo.

Details: `{"by_dns_name": {"<silo>.sys.<zone>": {"silo_id", "tls_certs": []}}, "default_endpoint": {...} | null,
"warnings": ["..."]}`. There is no TLS here, so no silo has a certificate, and as with upstream that is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus.db.external_endpoints import list_external_zone_names, list_silo_names
from nexus.ids import SiloId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.db.connection import Connection
    from nexus.db.external_endpoints import SiloName
    from nexus.db.pool import Pool


class ExternalEndpoint(msgspec.Struct, frozen=True):
    silo_id: SiloId
    tls_certs: tuple[str, ...] = ()
    """Digests."""


class ExternalEndpoints(msgspec.Struct, frozen=True):
    by_dns_name: dict[str, ExternalEndpoint]
    default_endpoint: ExternalEndpoint | None
    """For clients that name none of the others: the oldest silo that may be seen by those outside of it."""

    warnings: tuple[str, ...]


class ExternalEndpointsTask:
    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def activate(self) -> ExternalEndpoints:
        return await self._pool.transaction(_read_external_endpoints)


async def _read_external_endpoints(connection: Connection) -> ExternalEndpoints:
    return external_endpoints(await list_silo_names(connection), zone_names=await list_external_zone_names(connection))


def external_endpoints(silos: Sequence[SiloName], *, zone_names: Sequence[str]) -> ExternalEndpoints:
    by_dns_name = {
        f"{silo.name}.sys.{zone_name}": ExternalEndpoint(silo.silo_id) for zone_name in zone_names for silo in silos
    }
    oldest = min((silo for silo in silos if silo.discoverable), key=lambda silo: silo.time_created, default=None)
    return ExternalEndpoints(
        by_dns_name=dict(sorted(by_dns_name.items())),
        default_endpoint=ExternalEndpoint(oldest.silo_id) if oldest is not None else None,
        warnings=tuple(
            f"silo {endpoint.silo_id} with DNS name {dns_name} has no certificates"
            for dns_name, endpoint in sorted(by_dns_name.items())
        ),
    )
