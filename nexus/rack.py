"""What rack setup hands to the first Nexus: the body of `PUT /racks/{rack_id}/initialization-complete`. Pure.

A subset of upstream's, by upstream's names where it has them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NewType
from uuid import UUID

import msgspec

from dropshot.address import SocketAddr
from nexus.dns_types import DnsConfigParams

PasswordHash = NewType("PasswordHash", str)
"""PHC string, Argon2id."""

_NAME = re.compile(r"[a-z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_silo_name(text: str) -> bool:
    """Whether `text` can be a silo's name: a user's in lower case, as it becomes one in DNS."""
    return is_user_name(text) and text == text.lower()


def is_user_name(text: str) -> bool:
    """Whether `text` can be a user's name: upstream's `UserId`, of 1 to 63 characters."""
    return _NAME.fullmatch(text) is not None and _UUID.fullmatch(text) is None


class RecoverySilo(msgspec.Struct, frozen=True):
    silo_name: str
    user_name: str
    user_password_hash: PasswordHash

    def __post_init__(self) -> None:
        if not is_silo_name(self.silo_name):
            raise ValueError(f"{self.silo_name!r} cannot be the name of a silo")
        if not is_user_name(self.user_name):
            raise ValueError(f"{self.user_name!r} cannot be the name of a user")
        if not self.user_password_hash.startswith("$argon2id$"):
            raise ValueError("user_password_hash is not an Argon2id hash in PHC form")


class Sled(msgspec.Struct, frozen=True):
    """A sled and its baseboard. Its position among the others is that in the rack."""

    id: UUID
    serial_number: str
    part_number: str
    revision: int


class NexusZone(msgspec.Struct, frozen=True):
    """A Nexus that is in service, whether or not it runs. `external_ip` is what silo names resolve to."""

    id: UUID
    sled_id: UUID
    internal_address: str
    external_ip: str

    def __post_init__(self) -> None:
        SocketAddr.parse(self.internal_address)
        ipaddress.ip_address(self.external_ip)

    @property
    def address(self) -> SocketAddr:
        return SocketAddr.parse(self.internal_address)


class RackInitialization(msgspec.Struct, frozen=True):
    """`internal_dns_zone_config` is what the DNS servers were seeded with, and becomes version 1."""

    external_dns_zone_name: str
    internal_dns_zone_config: DnsConfigParams
    recovery_silo: RecoverySilo
    sleds: tuple[Sled, ...]
    nexus_zones: tuple[NexusZone, ...]

    def __post_init__(self) -> None:
        config = self.internal_dns_zone_config
        if config.generation != 1 or len(config.zones) != 1:
            raise ValueError("internal_dns_zone_config must be generation 1 with exactly one zone")
        if not self.nexus_zones or len({zone.id for zone in self.nexus_zones}) < len(self.nexus_zones):
            raise ValueError("nexus_zones is empty, or names one twice")
        sled_ids = {sled.id for sled in self.sleds}
        if len(sled_ids) < len(self.sleds):
            raise ValueError("sleds names one twice")
        if not sled_ids.issuperset(zone.sled_id for zone in self.nexus_zones):
            raise ValueError("nexus_zones has one on a sled that is not in sleds")
