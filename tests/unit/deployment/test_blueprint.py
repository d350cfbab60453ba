"""Blueprints as data: the first one, the wire form, and what cannot be one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, HANDOFF, INITIAL, SECOND_NEXUS, SECOND_SLED, added, edited_child

from nexus.deployment.blueprint import Blueprint, BlueprintMetadata, InService
from nexus.deployment.edits import ExpungeZone
from nexus.rack import NexusZone


def wire(blueprint: Blueprint) -> Any:
    return msgspec.json.decode(msgspec.json.encode(blueprint))


def test_the_first_blueprint_is_what_rack_setup_says() -> None:
    assert INITIAL.parent_blueprint_id is None
    assert {sled_id: [zone.id for zone in sled.zones] for sled_id, sled in INITIAL.sleds.items()} == {
        FIRST_SLED: [FIRST_NEXUS],
        SECOND_SLED: [SECOND_NEXUS],
    }
    assert all(zone.disposition == InService() for _, zone in INITIAL.zones())
    assert INITIAL.active_nexuses() == sorted(HANDOFF.nexus_zones, key=lambda zone: zone.sled_id)
    assert INITIAL.nexus_generation == 1


def test_a_blueprint_comes_back_from_the_wire() -> None:
    assert msgspec.json.decode(msgspec.json.encode(INITIAL), type=Blueprint) == INITIAL


def test_metadata_are_the_blueprint_without_its_contents() -> None:
    metadata = msgspec.convert(wire(INITIAL), BlueprintMetadata)
    assert metadata.id == INITIAL.id
    assert set(wire(INITIAL)) - set(msgspec.to_builtins(metadata)) == {
        "sleds",
        "oximeter_read_version",
        "oximeter_read_mode",
        "clickhouse_cluster_config",
        "pending_mgs_updates",
    }


def test_dns_is_made_from_what_is_in_service_and_of_the_active_generation() -> None:
    other = NexusZone(UUID(int=3), FIRST_SLED, "[::1]:3", "100::3")
    blueprint = edited_child(INITIAL, added(other, next_generation=True), ExpungeZone(SECOND_NEXUS))
    assert [zone.id for zone in blueprint.active_nexuses()] == [FIRST_NEXUS]


def changed(path: str, value: object) -> bytes:
    """The first blueprint with one member, `sleds.*` being the first sled, replaced."""
    whole = wire(INITIAL)
    node, *keys = whole, *path.split(".")
    for key in keys[:-1]:
        node = node[str(FIRST_SLED) if key == "*" else int(key) if key.isdigit() else key]
    node[keys[-1]] = value
    return msgspec.json.encode(whole)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sleds.*.disks", [{}]),
        ("sleds.*.state", "asleep"),
        ("sleds.*.sled_agent_generation", 0),
        ("sleds.*.zones.0.zone_type.type", "oximeter"),
        ("sleds.*.zones.0.zone_type.internal_address", "localhost:1"),
        ("sleds.*.zones.0.zone_type.external_ip.ip", "localhost"),
        ("sleds.*.subnet.net", "fd00::/48"),
        ("sleds.*.subnet.net", "10.0.0.0/8"),
        ("sleds.*.zones", wire(INITIAL)["sleds"][str(SECOND_SLED)]["zones"]),
        ("sleds.*.zones", wire(INITIAL)["sleds"][str(FIRST_SLED)]["zones"] * 2),
        ("pending_mgs_updates.by_baseboard", [{}]),
        ("time_created", "2024-08-12T20:00:00"),
    ],
)
def test_what_is_not_simulated_or_makes_no_sense_is_refused(path: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(changed(path, value), type=Blueprint)
