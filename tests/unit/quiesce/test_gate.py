"""What a process knows of its quiescing, and tells."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
import trio
from blueprint_lab import FIRST_SLED, INITIAL, SECOND_NEXUS, added, edited_child

from nexus.api.quiesce_types import DrainingSagas, DrainingSagasDetails, NotQuiescing, PendingSagaInfo, Undetermined
from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone
from nexus.errors import Conflict
from nexus.ids import NexusId
from nexus.quiesce.gate import QuiesceGate
from nexus.quiesce.sagas import REQUESTED, UNKNOWN
from nexus.rack import NexusZone
from nexus.saga.errors import NewSagasRefused
from nexus.saga.ids import SagaId
from nexus.saga.status import PendingSaga

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NEXT = NexusZone(NexusId(UUID(int=3)), FIRST_SLED, "[::1]:3", "100::3")
BUMPED = edited_child(INITIAL, added(NEXT, next_generation=True), BumpNexusGeneration())


def gate() -> QuiesceGate:
    return QuiesceGate(SECOND_NEXUS, now=lambda: NOW)


def test_it_says_why_it_refuses() -> None:
    unknowing = gate()
    with pytest.raises(NewSagasRefused, match=f"^{UNKNOWN}$"):
        unknowing.admit()
    assert unknowing.state == Undetermined()
    asked = gate()
    asked.see(INITIAL)
    asked.admit()
    assert asked.state == NotQuiescing()
    asked.request()
    with pytest.raises(NewSagasRefused, match=f"^{REQUESTED}$"):
        asked.admit()


async def test_it_begins_once() -> None:
    asked = gate()
    asked.request()
    with trio.fail_after(5):
        assert await asked.wait_begun() == NOW
    begun = asked.state
    assert begun == DrainingSagas(DrainingSagasDetails(NOW))
    asked.request()
    asked.see(BUMPED)
    assert asked.state is begun


async def test_it_begins_when_another_generation_is_active() -> None:
    old = gate()
    old.see(INITIAL)
    old.see(BUMPED)
    with trio.fail_after(5):
        assert await old.wait_begun() == NOW


def test_an_expunged_one_refuses_and_does_not_begin() -> None:
    expunged = gate()
    expunged.see(edited_child(INITIAL, ExpungeZone(SECOND_NEXUS)))
    with pytest.raises(NewSagasRefused, match="is expunged"):
        expunged.admit()
    assert expunged.state == NotQuiescing()
    assert expunged.is_expunged
    with pytest.raises(Conflict, match=r"is expunged in blueprint \S+: it already makes no new sagas, and never "):
        expunged.request()
    assert expunged.is_expunged


def test_one_that_quiesces_goes_on_with_that_when_it_is_expunged() -> None:
    asked = gate()
    asked.request()
    begun = asked.state
    asked.see(edited_child(INITIAL, ExpungeZone(SECOND_NEXUS)))
    asked.request()
    assert asked.state is begun
    assert not asked.is_expunged


def test_status() -> None:
    saga_id = SagaId(UUID(int=7))
    status = gate().status([PendingSaga(saga_id, "demo", NOW, recovered=True)], [])
    assert status.sagas.sagas_pending == [PendingSagaInfo(saga_id, "demo", NOW, recovered=True)]
    assert (status.state, status.sagas.new_sagas_allowed, status.db_claims) == (
        Undetermined(),
        "disallowed_unknown",
        [],
    )
