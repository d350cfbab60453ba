"""What simstack sends and what Nexus takes are written twice, since neither imports the other: here they meet."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from nexus import dns_types, rack
from simstack import handoff
from simstack.dns import config

NEXUS_CONFIG = dns_types.DnsConfigParams(
    generation=1,
    serial=1,
    time_created=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    zones=(
        dns_types.DnsConfigZone(
            "control-plane.oxide.internal",
            {
                "@": (dns_types.NS("ns1.control-plane.oxide.internal"),),
                "ns1": (dns_types.A("127.0.0.1"), dns_types.AAAA("::1")),
                "_nexus._tcp": (dns_types.SRV(dns_types.Srv(0, 1, 12221, "n.host.control-plane.oxide.internal")),),
            },
        ),
    ),
)

NEXUS_HANDOFF = rack.RackInitialization(
    external_dns_zone_name="oxide-dev.test",
    internal_dns_zone_config=NEXUS_CONFIG,
    recovery_silo=rack.RecoverySilo("test-suite-silo", "test-privileged", rack.PasswordHash("$argon2id$x")),
    sleds=(rack.Sled(UUID(int=2), "SimGimlet00", "i86pc", 0),),
    nexus_zones=(rack.NexusZone(UUID(int=1), UUID(int=2), "[::1]:12221", "100::1"),),
)

PAIRS = [
    pytest.param(NEXUS_CONFIG, config.DnsConfigParams, id="DNS configuration"),
    pytest.param(NEXUS_HANDOFF, handoff.RackInitialization, id="rack initialization"),
]


@pytest.mark.parametrize(("value", "other"), PAIRS)
def test_a_value_comes_back_whole_from_the_other_side(value: msgspec.Struct, other: type[msgspec.Struct]) -> None:
    there = msgspec.json.decode(msgspec.json.encode(value), type=other)
    back = msgspec.json.decode(msgspec.json.encode(there), type=type(value))
    assert back == value
    assert msgspec.json.decode(msgspec.json.encode(back), type=other) == there


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dns_types.DnsConfigParams, config.DnsConfigParams),
        (dns_types.DnsConfigZone, config.DnsConfigZone),
        (dns_types.Srv, config.Srv),
        (rack.RackInitialization, handoff.RackInitialization),
        (rack.RecoverySilo, handoff.RecoverySilo),
        (rack.Sled, handoff.Sled),
        (rack.NexusZone, handoff.NexusZone),
    ],
)
def test_both_sides_name_the_same_members(ours: type[msgspec.Struct], theirs: type[msgspec.Struct]) -> None:
    """A member that one side has alone would be ignored by the other without a word."""

    def members(type_: type[msgspec.Struct]) -> dict[str, bool]:
        return {field.encode_name: field.required for field in msgspec.structs.fields(type_)}

    assert members(ours) == members(theirs)
