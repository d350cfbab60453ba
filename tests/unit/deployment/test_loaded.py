"""What a Nexus makes of reading the target blueprint again."""

from __future__ import annotations

import msgspec
import pytest
from blueprint_lab import INITIAL, SECOND_NEXUS, START, edited_child

from nexus.deployment.blueprint import Blueprint, BlueprintTarget
from nexus.deployment.edits import ExpungeZone
from nexus.deployment.loaded import BlueprintChanged, LoadedBlueprint, load_status


def loaded(blueprint: Blueprint, *, enabled: bool = True) -> LoadedBlueprint:
    target = BlueprintTarget(target_id=blueprint.id, enabled=enabled, time_made_target=START)
    return LoadedBlueprint(target, blueprint)


@pytest.mark.parametrize(
    ("known", "found", "status"),
    [
        (None, loaded(INITIAL), "first target blueprint"),
        (loaded(INITIAL), loaded(edited_child(INITIAL), enabled=False), "target blueprint updated"),
        (loaded(INITIAL), loaded(INITIAL, enabled=False), "target blueprint disabled"),
        (loaded(INITIAL, enabled=False), loaded(INITIAL), "target blueprint enabled"),
        (loaded(INITIAL), loaded(INITIAL), "target blueprint unchanged"),
    ],
)
def test_every_difference_has_a_word(known: LoadedBlueprint | None, found: LoadedBlueprint, status: str) -> None:
    assert load_status(known, found) == status


def test_a_stored_blueprint_that_changed_is_an_error() -> None:
    other = msgspec.structs.replace(edited_child(INITIAL, ExpungeZone(SECOND_NEXUS)), id=INITIAL.id)
    with pytest.raises(BlueprintChanged, match=str(INITIAL.id)):
        load_status(loaded(INITIAL), loaded(other))
