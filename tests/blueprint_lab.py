"""Blueprints for tests: what `run-all` begins with, and children of it under ids that count up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from nexus.deployment.blueprint import Blueprint, FromEdit
from nexus.deployment.edits import AddNexusZone, ChildMetadata, Edit, child, edits_comment
from nexus.deployment.initial import initial_blueprint
from nexus.dns_types import DnsConfigParams, DnsConfigZone
from nexus.ids import BlueprintId, NexusId, SledId
from nexus.rack import NexusZone, PasswordHash, RackInitialization, RecoverySilo, Sled

START = datetime(2024, 8, 12, 20, 0, tzinfo=UTC)

FIRST_SLED = SledId(UUID("b6d65341-167c-41df-9b5c-41cded99c229"))
SECOND_SLED = SledId(UUID("039be560-54cc-49e3-88df-1a29dadbf913"))
FIRST_NEXUS = NexusId(UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"))
SECOND_NEXUS = NexusId(UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f"))

HANDOFF = RackInitialization(
    external_dns_zone_name="oxide-dev.test",
    internal_dns_zone_config=DnsConfigParams(1, 1, START, (DnsConfigZone("control-plane.oxide.internal", {}),)),
    recovery_silo=RecoverySilo("test-suite-silo", "test-privileged", PasswordHash("$argon2id$x")),
    sleds=(Sled(FIRST_SLED, "SimGimlet00", "i86pc", 0), Sled(SECOND_SLED, "SimGimlet01", "i86pc", 0)),
    nexus_zones=(
        NexusZone(FIRST_NEXUS, FIRST_SLED, "[::1]:12221", "127.0.0.1"),
        NexusZone(SECOND_NEXUS, SECOND_SLED, "[::1]:12223", "100::1"),
    ),
)


def blueprint_id(number: int) -> BlueprintId:
    return BlueprintId(UUID(f"00000000-0000-4000-8000-b{number:011x}"))


INITIAL = initial_blueprint(
    HANDOFF, blueprint_id=blueprint_id(1), now=START, internal_dns_version=1, external_dns_version=2
)


def child_metadata(number: int, comment: str = "a test's") -> ChildMetadata:
    return ChildMetadata(
        id=blueprint_id(number),
        time_created=START + timedelta(seconds=number),
        creator="test",
        comment=comment,
        source=FromEdit(),
        internal_dns_version=1,
        external_dns_version=2,
    )


def edited_child(parent: Blueprint, *edits: Edit, number: int = 2) -> Blueprint:
    return child(parent, child_metadata(number, edits_comment(edits)), edits)


def added(zone: NexusZone, *, next_generation: bool = False) -> AddNexusZone:
    """The edit that puts a zone exactly there."""
    return AddNexusZone(
        NexusId(zone.id), zone.internal_address, zone.external_ip, SledId(zone.sled_id), next_generation
    )
