"""Rack initialization, as the launcher plays it: tell a Nexus what this control plane is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import trio

from dropshot.client import ClientError, request
from simstack import rack_setup
from simstack.dns.config import DnsConfigParams
from simstack.errors import SimstackError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dropshot.address import SocketAddr

ATTEMPT_TIMEOUT_S = 10.0
PAUSE_S = 0.01
SERVICE_UNAVAILABLE = 503


class RecoverySilo(msgspec.Struct, frozen=True):
    silo_name: str
    user_name: str
    user_password_hash: str


class Sled(msgspec.Struct, frozen=True):
    """A sled and its baseboard."""

    id: UUID
    serial_number: str
    part_number: str
    revision: int


class NexusZone(msgspec.Struct, frozen=True):
    """A Nexus zone in service, whether or not its process runs. `external_ip` is what `<silo>.sys` resolves to."""

    id: UUID
    sled_id: UUID
    internal_address: str
    external_ip: str


class RackInitialization(msgspec.Struct, frozen=True):
    """Body of `PUT /racks/{rack_id}/initialization-complete`.

    `internal_dns_zone_config` is what the DNS servers were seeded with.
    """

    external_dns_zone_name: str
    internal_dns_zone_config: DnsConfigParams
    recovery_silo: RecoverySilo
    sleds: list[Sled]
    nexus_zones: list[NexusZone]


async def hand_off(nexus: SocketAddr, *, internal_dns: DnsConfigParams, zones: Sequence[NexusZone]) -> None:
    """Hand the control plane to the Nexus whose internal API is at `nexus`, as often as it says that it is too early.

    Raises SimstackError when it refuses.
    """
    body = RackInitialization(
        external_dns_zone_name=rack_setup.EXTERNAL_DNS_ZONE,
        internal_dns_zone_config=internal_dns,
        recovery_silo=RecoverySilo(
            rack_setup.SILO_NAME, rack_setup.PRIVILEGED_USER, rack_setup.PRIVILEGED_PASSWORD_HASH
        ),
        sleds=[
            Sled(sled_id, serial, rack_setup.SLED_PART, rack_setup.SLED_REVISION)
            for sled_id, serial in zip(rack_setup.SLED_IDS, rack_setup.SLED_SERIALS, strict=True)
        ],
        nexus_zones=list(zones),
    )
    path = f"/racks/{rack_setup.RACK_ID}/initialization-complete"
    encoded = msgspec.json.encode(body)
    while True:
        try:
            response = await request(nexus, "PUT", path, body=encoded, timeout_s=ATTEMPT_TIMEOUT_S)
        except ClientError as exc:
            raise SimstackError(f"rack initialization: Nexus does not answer: {exc}") from exc
        if response.status < 300:
            return
        if response.status != SERVICE_UNAVAILABLE:
            text = response.body.decode(errors="replace")
            raise SimstackError(f"rack initialization: Nexus at {nexus} answered {response.status}: {text}")
        await trio.sleep(PAUSE_S)
