"""How two blueprints differ."""

from __future__ import annotations

import msgspec
from blueprint_lab import INITIAL, SECOND_NEXUS, SECOND_SLED, child_metadata, edited_child

from nexus.deployment.diff import Added, Modified, Removed, diff
from nexus.deployment.edits import ExpungeZone, child


def test_a_child_without_edits_has_no_changes() -> None:
    found = diff(INITIAL, child(INITIAL, child_metadata(2)))
    assert not found.sleds
    assert not found.has_changes


def test_a_changed_setting_is_a_change() -> None:
    other = msgspec.structs.replace(INITIAL, external_dns_version=3)
    assert diff(INITIAL, other).has_changes


def test_a_changed_zone_modifies_its_sled() -> None:
    after = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS))
    found = diff(INITIAL, after)
    assert found.has_changes
    change = found.sleds[SECOND_SLED]
    assert found.sleds == {SECOND_SLED: Modified(INITIAL.sleds[SECOND_SLED], after.sleds[SECOND_SLED])}
    assert isinstance(change, Modified)
    assert change.zones() == {SECOND_NEXUS: (INITIAL.sleds[SECOND_SLED].zones[0], after.sleds[SECOND_SLED].zones[0])}


def test_sleds_come_and_go() -> None:
    gone = INITIAL.sleds[SECOND_SLED]
    without = msgspec.structs.replace(
        INITIAL, sleds={sled_id: sled for sled_id, sled in INITIAL.sleds.items() if sled_id != SECOND_SLED}
    )
    assert diff(INITIAL, without).sleds == {SECOND_SLED: Removed(gone)}
    assert diff(without, INITIAL).sleds == {SECOND_SLED: Added(gone)}
