"""The recovery task with a real SEC and the store in memory: processes come and go, sagas stay."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import structlog
import trio
import trio.testing

from nexus.background.tasks.saga_recovery import SagaRecovery
from nexus.ids import NexusId
from nexus.quiesce.gate import QuiesceGate
from nexus.recovery.report import Failed, Loss, PassFailure, PassSuccess, RecoveryReport, Succeeded
from nexus.saga.action import Action, ActionContext, ActionRegistry
from nexus.saga.action_error import ActionFailed
from nexus.saga.dag_builder import DagBuilder
from nexus.saga.errors import StoreUnavailable
from nexus.saga.execution import SagaFailed, SagaSucceeded
from nexus.saga.ids import NodeId, SagaId, SecId
from nexus.saga.log import EventKind, NodeEvent
from nexus.saga.sec import Sec
from nexus.saga.store import Claim, InMemorySecStore, StoredState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.saga.dag import SagaDag
    from nexus.saga.store import InProgressSaga

LOG = structlog.get_logger()
SEC_ID = SecId(UUID(int=0xA4))
OTHER_SEC_ID = SecId(UUID(int=0xE6))
OMDB_SEC_ID = SecId(UUID(int=0xAA))
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def saga(number: int) -> SagaId:
    return SagaId(UUID(int=number))


class Gate:
    """The saga `gated`: one action that waits until it is opened."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.registry = ActionRegistry([Action("gated.wait", self._wait, params=int)])

    async def _wait(self, context: ActionContext[int]) -> None:
        await self.opened.wait()


def gated() -> SagaDag:
    action = Action("gated.wait", Gate()._wait, params=int)
    return DagBuilder("gated").append(action.node("wait")).build(0)


class Process:
    """`recovery_asked` is set when the SEC has stopped a saga that it lost."""

    def __init__(self, sec: Sec, gate: Gate, recovery_asked: trio.Event) -> None:
        self.sec = sec
        self.gate = gate
        self.recovery_asked = recovery_asked
        self.quiesce = QuiesceGate(NexusId(SEC_ID), now=lambda: NOW)
        self.recovery = SagaRecovery(sec, quiesce=self.quiesce, log=LOG, now=lambda: NOW)

    async def recovery_pass(self) -> PassSuccess:
        report = await self.recovery.activate()
        assert isinstance(report.last_pass, Succeeded)
        return report.last_pass.success


@asynccontextmanager
async def process(store: InMemorySecStore, *, registry: ActionRegistry | None = None) -> AsyncIterator[Process]:
    """A process with one SEC, which crashes at the end of the block."""
    gate = Gate()
    asked = trio.Event()
    sec = Sec(SEC_ID, store=store, registry=registry or gate.registry, log=LOG, on_lost=asked.set)
    async with trio.open_nursery() as nursery:
        await nursery.start(sec.run)
        yield Process(sec, gate, asked)
        nursery.cancel_scope.cancel()


def success(*, found: int = 0, recovered: int = 0, failed: int = 0, skipped: int = 0, removed: int = 0) -> PassSuccess:
    return PassSuccess(found, recovered, failed, skipped, removed)


async def test_sagas_of_a_crashed_process_are_resumed_and_finish() -> None:
    store = InMemorySecStore()
    async with process(store) as first:
        for number in range(3):
            await first.sec.create(saga(number), gated())
    async with process(store) as second:
        assert await second.recovery_pass() == success(found=3, recovered=3)
        assert await second.recovery_pass() == success(found=3, skipped=3)
        second.gate.opened.set()
        for number in range(3):
            assert isinstance((await second.sec.wait_ended(saga(number))).state, SagaSucceeded)
        assert await second.recovery_pass() == success()
        assert await second.recovery_pass() == success(removed=3)
        report = await second.recovery.activate()
    assert [recovery.saga_id for recovery in report.recent_recoveries] == [saga(number) for number in range(3)]
    assert report.ntotal_recovered == report.ntotal_finished == 3
    assert report.ntotal_sec_errors_missing == report.ntotal_sec_errors_bad_state == 0


async def test_each_recovery_takes_a_new_claim() -> None:
    store = InMemorySecStore()
    async with process(store) as first:
        await first.sec.create(saga(1), gated())
    for claim in (2, 3):
        async with process(store) as later:
            await later.recovery_pass()
            assert later.sec.saga(saga(1)).claim == claim


async def test_sagas_started_here_are_left_alone() -> None:
    async with process(InMemorySecStore()) as only:
        await only.sec.create(saga(1), gated())
        assert await only.recovery_pass() == success(found=1, skipped=1)
        report = await only.recovery.activate()
    assert (report.ntotal_started, report.ntotal_recovered) == (1, 0)


class StoreWithTiming(InMemorySecStore):
    """Lets something happen between the moment a listing is made and the moment it arrives."""

    sec: Sec | None = None

    async def list_in_progress(self, sec_id: SecId, *, after: SagaId | None = None, limit: int) -> list[InProgressSaga]:
        if self.sec is not None:
            await self.sec.create(saga(1), gated())
        listed = await super().list_in_progress(sec_id, after=after, limit=limit)
        if self.sec is not None:
            await self.sec.create(saga(2), gated())
            self.sec = None
        return listed


async def test_sagas_created_while_the_listing_is_under_way_are_not_run_twice() -> None:
    store = StoreWithTiming()
    async with process(store) as only:
        store.sec = only.sec
        assert await only.recovery_pass() == success(found=1, skipped=1)
        assert await only.recovery_pass() == success(found=2, skipped=2)
        assert {only.sec.saga(saga(number)).claim for number in (1, 2)} == {1}


async def test_a_store_that_is_away_fails_the_pass_and_the_next_one_is_the_retry() -> None:
    store = InMemorySecStore()
    async with process(store) as first:
        await first.sec.create(saga(1), gated())
    async with process(store) as second:
        await second.sec.create(saga(2), gated())
        store.go_away()
        report = await second.recovery.activate()
        assert report == RecoveryReport(last_pass=Failed(PassFailure("the store cannot be reached")), ntotal_started=1)
        store.come_back()
        assert await second.recovery_pass() == success(found=2, recovered=1, skipped=1)


async def test_a_pass_that_is_cancelled_is_not_pending_any_more() -> None:
    store = InMemorySecStore()
    async with process(store) as first:
        await first.sec.create(saga(1), gated())
    async with process(store) as second:
        with trio.CancelScope() as scope:
            scope.cancel()
            await second.recovery.activate()
        assert scope.cancelled_caught
        assert second.quiesce.sagas.recovery_pending is None
        assert not second.quiesce.sagas.first_recovery_complete


class StoreWithFailures(InMemorySecStore):
    unclaimable: frozenset[SagaId] = frozenset()

    async def claim(self, saga_id: SagaId, *, sec_id: SecId) -> Claim:
        if saga_id in self.unclaimable:
            raise StoreUnavailable("the connection was lost")
        return await super().claim(saga_id, sec_id=sec_id)


async def test_one_failure_does_not_stop_the_others() -> None:
    store = StoreWithFailures()
    async with process(store) as first:
        for number in range(3):
            await first.sec.create(saga(number), gated())
    async with process(store) as second:
        store.unclaimable = frozenset({saga(1)})
        assert await second.recovery_pass() == success(found=3, recovered=2, failed=1)
        store.unclaimable = frozenset()
        assert await second.recovery_pass() == success(found=3, recovered=1, skipped=2)
        (failure,) = (await second.recovery.activate()).recent_failures
    assert (failure.time, failure.saga_id, failure.current_sec) == (NOW, saga(1), SEC_ID)
    assert (failure.kind, failure.message) == ("transient", "the connection was lost")


async def test_a_log_that_cannot_be_replayed_is_abandoned() -> None:
    store = InMemorySecStore()
    async with process(store) as first:
        await first.sec.create(saga(1), gated())
        await first.sec.create(saga(2), gated())
    store.rows[saga(1)].events.append((1, NodeEvent(saga(1), NodeId(0), EventKind.UNDO_FINISHED)))
    async with process(store) as second:
        assert await second.recovery_pass() == success(found=2, recovered=1, failed=1)
        assert await second.recovery_pass() == success(found=1, skipped=1)
        (failure,) = (await second.recovery.activate()).recent_failures
    assert failure.kind == "permanent"
    row = store.rows[saga(1)]
    assert row.state is StoredState.ABANDONED
    assert row.abandoned is not None
    reason, comment = row.abandoned
    assert reason == "unrecoverable"
    assert comment in failure.message


async def test_a_saga_without_its_code_here_is_recovered_and_waits() -> None:
    """Nothing is dropped: it stays listed with the reason, and the store keeps it."""
    store = InMemorySecStore()
    async with process(store) as first:
        await first.sec.create(saga(1), gated())
    async with process(store, registry=ActionRegistry([])) as second:
        assert await second.recovery_pass() == success(found=1, recovered=1)
        assert "gated.wait" in str(second.sec.saga(saga(1)).state)
    async with process(store) as third:
        assert await third.recovery_pass() == success(found=1, recovered=1)
        third.gate.opened.set()
        assert isinstance((await third.sec.wait_ended(saga(1))).state, SagaSucceeded)


async def test_inferred_done_is_checked_against_the_sec() -> None:
    """A way to vanish from the database's list that is not an end: never created there."""
    store = InMemorySecStore()
    async with process(store) as only:
        store.go_away()
        with pytest.raises(StoreUnavailable):
            await only.sec.create(saga(2), gated())
        store.come_back()
        assert await only.recovery_pass() == success()
        assert await only.recovery_pass() == success(removed=1)
        report = await only.recovery.activate()
    assert (report.ntotal_sec_errors_bad_state, report.ntotal_sec_errors_missing) == (0, 1)
    assert (report.ntotal_started, report.ntotal_finished) == (1, 1)


async def test_a_saga_that_another_sec_adopted_is_stopped_and_told_apart_from_finished_ones() -> None:
    """It only waits, so it never writes, and never would notice."""
    store = InMemorySecStore()
    async with process(store) as only:
        await only.sec.create(saga(1), gated())
        assert await only.recovery_pass() == success(found=1, skipped=1)
        await store.adopt([SEC_ID], sec_id=OTHER_SEC_ID)
        await only.sec.create(saga(2), gated())
        assert await only.recovery_pass() == success(found=1, skipped=1)
        await trio.testing.wait_all_tasks_blocked()
        assert [status.saga_id for status in only.sec.sagas()] == [saga(2)]
        assert await only.recovery_pass() == success(found=1, skipped=1)
        report = await only.recovery.activate()
    assert report.recent_losses == (Loss(NOW, saga(1), OTHER_SEC_ID),)
    assert (report.ntotal_lost_to_adoption, report.ntotal_finished) == (1, 0)
    assert (report.ntotal_sec_errors_bad_state, report.ntotal_sec_errors_missing) == (0, 0)


def inject_error(store: InMemorySecStore, saga_id: SagaId) -> None:
    """As omdb does, in one transaction."""
    row = store.rows[saga_id]
    row.claims.append(OMDB_SEC_ID)
    row.events.append((len(row.claims), NodeEvent.failed(saga_id, NodeId(0), ActionFailed({"message": "injected"}))))


async def test_a_saga_that_was_repaired_while_it_ran_is_recovered_and_unwinds() -> None:
    store = InMemorySecStore()
    async with process(store) as only:
        await only.sec.create(saga(1), gated())
        assert await only.recovery_pass() == success(found=1, skipped=1)
        inject_error(store, saga(1))
        await only.sec.check_claims()
        await only.recovery_asked.wait()
        assert await only.recovery_pass() == success(found=1, recovered=1)
        assert (await only.sec.wait_ended(saga(1))).claim == 3
        assert isinstance(only.sec.saga(saga(1)).state, SagaFailed)
        report = await only.recovery.activate()
    assert (report.ntotal_lost_to_adoption, report.ntotal_finished) == (0, 0)


async def test_a_repaired_saga_whose_action_takes_its_time_to_stop() -> None:
    """It is not run twice, nor counted as a failure; the pass that the SEC asks for recovers it."""
    store = InMemorySecStore()
    stop = trio.Event()

    async def stubborn(context: ActionContext[int]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await stop.wait()

    registry = ActionRegistry([Action("gated.wait", stubborn, params=int)])
    async with process(store, registry=registry) as only:
        await only.sec.create(saga(1), gated())
        await trio.testing.wait_all_tasks_blocked()
        inject_error(store, saga(1))
        assert await only.recovery_pass() == success(found=1)
        assert not only.recovery_asked.is_set()
        stop.set()
        await only.recovery_asked.wait()
        assert await only.recovery_pass() == success(found=1, recovered=1)
        assert isinstance((await only.sec.wait_ended(saga(1))).state, SagaFailed)


async def test_a_saga_that_was_abandoned_while_it_ran_is_no_finished_one() -> None:
    store = InMemorySecStore()
    async with process(store) as only:
        await only.sec.create(saga(1), gated())
        assert await only.recovery_pass() == success(found=1, skipped=1)
        await store.abandon(Claim(saga(1), SEC_ID, 1, 1), reason="omdb", comment="no such disk")
        assert await only.recovery_pass() == success()
        await only.recovery_asked.wait()
        assert await only.recovery_pass() == success()
        report = await only.recovery.activate()
        assert only.sec.sagas() == []
    assert (report.ntotal_lost_to_adoption, report.ntotal_finished) == (0, 0)
    assert (report.ntotal_sec_errors_bad_state, report.ntotal_sec_errors_missing) == (0, 0)
