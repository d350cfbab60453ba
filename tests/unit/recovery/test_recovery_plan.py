"""Recovery's plan and report, told as the story of one Nexus, its database and its sagas."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nexus.recovery.plan import RecoveryPlan, RestState
from nexus.recovery.report import (
    RECENT,
    Execution,
    FailureKind,
    Loss,
    PassSuccess,
    Recovery,
    RecoveryFailure,
    RecoveryReport,
)
from nexus.saga.ids import SagaId, SecId

SEC = SecId(UUID(int=0xA4))
OTHER_SEC = SecId(UUID(int=0xE6))
START = datetime(2026, 1, 2, tzinfo=UTC)


def saga(number: int) -> SagaId:
    return SagaId(UUID(int=number))


class Simulator:
    """One SEC with its database. A pass can be given an older listing, to let things happen in between."""

    def __init__(self) -> None:
        self.database: set[SagaId] = set()
        self.channel: list[SagaId] = []
        self.rest = RestState()
        self.report = RecoveryReport()
        self.fails: dict[SagaId, FailureKind] = {}
        self.now = START
        self.adopted: list[SagaId] = []
        self.repaired: list[SagaId] = []

    def saga_announced(self, saga_id: SagaId) -> None:
        self.channel.append(saga_id)

    def saga_written(self, saga_id: SagaId) -> None:
        self.database.add(saga_id)

    def saga_starts(self, saga_id: SagaId) -> None:
        self.saga_announced(saga_id)
        self.saga_written(saga_id)

    def saga_finishes(self, saga_id: SagaId) -> None:
        self.database.discard(saga_id)

    def saga_assigned_by_another_process(self, saga_id: SagaId) -> None:
        """Left by a crash, or adopted: in the database, and this process has never heard of it."""
        self.database.add(saga_id)

    def saga_adopted_by_another_sec(self, saga_id: SagaId) -> None:
        """As the SEC finds out when it checks its claims."""
        self.database.discard(saga_id)
        self.adopted.append(saga_id)

    def saga_repaired_by_hand(self, saga_id: SagaId) -> None:
        """It stays in progress, under a claim that nobody holds."""
        self.repaired.append(saga_id)

    def saga_abandoned_by_hand(self, saga_id: SagaId) -> None:
        self.database.discard(saga_id)
        self.repaired.append(saga_id)

    def snapshot_db(self) -> frozenset[SagaId]:
        return frozenset(self.database)

    def recovery_pass(self, snapshot: frozenset[SagaId] | None = None) -> RecoveryPlan:
        self.now += timedelta(minutes=10)
        listed = self.snapshot_db() if snapshot is None else snapshot
        nstarted = self._drain()
        adopted, self.adopted = self.adopted, []
        repaired, self.repaired = self.repaired, []
        plan = RecoveryPlan.new(self.rest, in_progress=listed, adopted=adopted, repaired=repaired)
        recovered = [saga_id for saga_id in plan.needs_recovery if saga_id not in self.fails]
        failures = tuple(
            RecoveryFailure(self.now, saga_id, SEC, self.fails[saga_id], "not today")
            for saga_id in plan.needs_recovery
            if saga_id in self.fails
        )
        for failure in failures:
            if failure.kind == "permanent":
                self.database.discard(failure.saga_id)  # abandoned
        recoveries = tuple(Recovery(self.now, saga_id) for saga_id in recovered)
        self.rest = self.rest.after(plan, recovered=recovered)
        losses = tuple(Loss(self.now, saga_id, OTHER_SEC) for saga_id in adopted)
        self.report = self.report.after_pass(plan, Execution(recoveries, failures, losses), nstarted=nstarted)
        return plan

    def failed_pass(self, message: str) -> None:
        self.report = self.report.after_failed_pass(message, nstarted=self._drain())

    def _drain(self) -> int:
        started, self.channel = self.channel, []
        self.rest = self.rest.with_started(started)
        return len(started)

    @property
    def last(self) -> object:
        return json.loads(msgspec.json.encode(self.report))["last_pass"]


def success(*, found: int = 0, recovered: int = 0, failed: int = 0, skipped: int = 0, removed: int = 0) -> object:
    return {"Success": msgspec.to_builtins(PassSuccess(found, recovered, failed, skipped, removed))}


def test_before_the_first_pass() -> None:
    assert Simulator().last == "NeverStarted"


def test_nothing_to_do() -> None:
    sim = Simulator()
    assert sim.recovery_pass() == RecoveryPlan((), (), (), (), (), ())
    assert sim.last == success()


def test_the_walkthrough() -> None:
    """A saga is created, the process restarts, the saga is recovered, completed, and in time forgotten."""
    sim = Simulator()
    sim.saga_assigned_by_another_process(saga(1))
    assert sim.recovery_pass().needs_recovery == (saga(1),)
    assert sim.last == success(found=1, recovered=1)
    assert sim.report.recent_recoveries == (Recovery(START + timedelta(minutes=10), saga(1)),)

    assert sim.recovery_pass().already_running == (saga(1),)
    assert sim.last == success(found=1, skipped=1)

    sim.saga_finishes(saga(1))
    assert sim.recovery_pass().maybe_done == (saga(1),)
    assert sim.last == success()
    assert sim.recovery_pass().inferred_done == (saga(1),)
    assert sim.last == success(removed=1)
    assert sim.recovery_pass() == RecoveryPlan((), (), (), (), (), ())
    assert (sim.report.ntotal_recovered, sim.report.ntotal_started, sim.report.ntotal_finished) == (1, 0, 1)


def test_a_saga_of_this_process_is_never_recovered() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    assert sim.recovery_pass().already_running == (saga(1),)
    sim.saga_finishes(saga(1))
    assert sim.recovery_pass().maybe_done == (saga(1),)
    assert sim.recovery_pass().inferred_done == (saga(1),)
    assert sim.report.ntotal_started == sim.report.ntotal_finished == 1
    assert sim.report.ntotal_recovered == 0


def test_a_saga_created_between_listing_and_draining() -> None:
    """Not listed and yet unfinished: that is why one absence proves nothing."""
    sim = Simulator()
    before = sim.snapshot_db()
    sim.saga_starts(saga(1))
    assert sim.recovery_pass(before).maybe_done == (saga(1),)
    assert sim.recovery_pass().already_running == (saga(1),)
    sim.saga_finishes(saga(1))
    assert sim.recovery_pass().maybe_done == (saga(1),), "the earlier absence is forgotten"
    assert sim.recovery_pass().inferred_done == (saga(1),)


def test_a_saga_announced_whose_record_takes_its_time() -> None:
    sim = Simulator()
    sim.saga_announced(saga(1))
    assert sim.recovery_pass().maybe_done == (saga(1),)
    sim.saga_written(saga(1))
    assert sim.recovery_pass().already_running == (saga(1),)


def test_a_saga_announced_whose_record_was_never_written() -> None:
    """Its creation failed. It is forgotten as if it had finished."""
    sim = Simulator()
    sim.saga_announced(saga(1))
    assert sim.recovery_pass().maybe_done == (saga(1),)
    assert sim.recovery_pass().inferred_done == (saga(1),)
    assert sim.rest == RestState()


def test_a_saga_that_finishes_during_the_pass() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    before = sim.snapshot_db()
    sim.saga_finishes(saga(1))
    assert sim.recovery_pass(before).already_running == (saga(1),)
    assert sim.recovery_pass().maybe_done == (saga(1),)
    assert sim.recovery_pass().inferred_done == (saga(1),)


def test_a_transient_failure_is_tried_again_by_the_next_pass() -> None:
    sim = Simulator()
    sim.saga_assigned_by_another_process(saga(1))
    sim.saga_assigned_by_another_process(saga(2))
    sim.fails = {saga(1): "transient"}
    assert sim.recovery_pass().needs_recovery == (saga(1), saga(2))
    assert sim.last == success(found=2, recovered=1, failed=1)
    sim.fails = {}
    assert sim.recovery_pass().needs_recovery == (saga(1),)
    assert sim.last == success(found=2, recovered=1, skipped=1)
    assert (sim.report.ntotal_recovered, sim.report.ntotal_failures) == (2, 1)
    assert [failure.saga_id for failure in sim.report.recent_failures] == [saga(1)]


def test_a_permanent_failure_is_not() -> None:
    sim = Simulator()
    sim.saga_assigned_by_another_process(saga(1))
    sim.fails = {saga(1): "permanent"}
    assert sim.recovery_pass().needs_recovery == (saga(1),)
    assert sim.recovery_pass() == RecoveryPlan((), (), (), (), (), ())
    assert sim.report.recent_failures[0].kind == "permanent"


def test_a_saga_that_another_sec_adopted_has_not_finished() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    sim.saga_starts(saga(2))
    sim.recovery_pass()
    sim.saga_adopted_by_another_sec(saga(1))
    plan = sim.recovery_pass()
    assert (plan.lost_to_adoption, plan.already_running) == ((saga(1),), (saga(2),))
    assert sim.recovery_pass() == RecoveryPlan((), (saga(2),), (), (), (), ())
    assert (sim.report.ntotal_lost_to_adoption, sim.report.ntotal_finished) == (1, 0)
    assert [(loss.saga_id, loss.new_sec) for loss in sim.report.recent_losses] == [(saga(1), OTHER_SEC)]


def test_a_saga_that_was_adopted_and_is_noticed_a_pass_later() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    sim.saga_finishes(saga(1))
    assert sim.recovery_pass().maybe_done == (saga(1),)
    sim.saga_adopted_by_another_sec(saga(1))
    assert sim.recovery_pass() == RecoveryPlan((), (), (), (), lost_to_adoption=(saga(1),), lost_to_repair=())
    assert sim.rest == RestState()


def test_a_saga_that_was_adopted_and_came_back() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    sim.saga_adopted_by_another_sec(saga(1))
    sim.saga_assigned_by_another_process(saga(1))
    sim.fails = {saga(1): "transient"}
    assert sim.recovery_pass() == RecoveryPlan((saga(1),), (), (), (), (), ())
    sim.fails = {}
    assert sim.recovery_pass().needs_recovery == (saga(1),)
    assert sim.recovery_pass().already_running == (saga(1),)
    assert sim.report.ntotal_lost_to_adoption == 1


def test_a_saga_that_was_repaired_is_recovered() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    sim.recovery_pass()
    sim.saga_repaired_by_hand(saga(1))
    assert sim.recovery_pass() == RecoveryPlan((saga(1),), (), (), (), (), ())
    assert sim.recovery_pass() == RecoveryPlan((), (saga(1),), (), (), (), ())
    assert (sim.report.ntotal_recovered, sim.report.ntotal_lost_to_adoption) == (1, 0)


def test_a_saga_that_was_abandoned_has_not_finished() -> None:
    sim = Simulator()
    sim.saga_starts(saga(1))
    sim.recovery_pass()
    sim.saga_abandoned_by_hand(saga(1))
    assert sim.recovery_pass() == RecoveryPlan((), (), (), (), (), lost_to_repair=(saga(1),))
    assert sim.rest == RestState()
    assert sim.recovery_pass() == RecoveryPlan((), (), (), (), (), ())
    assert (sim.report.ntotal_finished, sim.report.ntotal_lost_to_adoption) == (0, 0)


def test_the_database_is_away_for_a_pass() -> None:
    """What was announced meanwhile is not lost, and no absence is counted."""
    sim = Simulator()
    sim.saga_starts(saga(1))
    sim.recovery_pass()
    sim.saga_finishes(saga(1))
    sim.recovery_pass()
    sim.saga_starts(saga(2))
    sim.failed_pass("database at [::1]:1 cannot be reached")
    assert sim.last == {"Failed": {"message": "database at [::1]:1 cannot be reached"}}
    assert sim.report.ntotal_started == 2
    plan = sim.recovery_pass()
    assert (plan.already_running, plan.inferred_done) == ((saga(2),), (saga(1),))


def test_rings_keep_the_last_ones_and_counters_all() -> None:
    sim = Simulator()
    for number in range(RECENT + 3):
        sim.saga_assigned_by_another_process(saga(number))
    sim.recovery_pass()
    sim.saga_assigned_by_another_process(saga(9_999))
    sim.recovery_pass()
    kept = [recovery.saga_id for recovery in sim.report.recent_recoveries]
    assert kept == [*(saga(number) for number in range(4, RECENT + 3)), saga(9_999)]
    assert sim.report.ntotal_recovered == RECENT + 4


def test_report_as_json() -> None:
    sim = Simulator()
    sim.saga_assigned_by_another_process(saga(1))
    sim.saga_assigned_by_another_process(saga(2))
    sim.fails = {saga(2): "transient"}
    sim.recovery_pass()
    assert json.loads(msgspec.json.encode(sim.report)) == {
        "recent_recoveries": [{"time": "2026-01-02T00:10:00Z", "saga_id": str(saga(1))}],
        "recent_failures": [
            {
                "time": "2026-01-02T00:10:00Z",
                "saga_id": str(saga(2)),
                "current_sec": str(SEC),
                "kind": "transient",
                "message": "not today",
            }
        ],
        "last_pass": {"Success": {"nfound": 2, "nrecovered": 1, "nfailed": 1, "nskipped": 0, "nremoved": 0}},
        "ntotal_recovered": 1,
        "ntotal_failures": 1,
        "ntotal_started": 0,
        "ntotal_finished": 0,
        "ntotal_sec_errors_missing": 0,
        "ntotal_sec_errors_bad_state": 0,
        "recent_losses": [],
        "ntotal_lost_to_adoption": 0,
    }


ids = st.frozensets(st.integers(0, 12).map(saga))


@given(started=ids, maybe_done=ids, adopted=ids, repaired=ids, listed=ids)
def test_every_saga_is_in_exactly_one_bucket(
    started: frozenset[SagaId],
    maybe_done: frozenset[SagaId],
    adopted: frozenset[SagaId],
    repaired: frozenset[SagaId],
    listed: frozenset[SagaId],
) -> None:
    rest = RestState(started, maybe_done & started)
    plan = RecoveryPlan.new(rest, in_progress=listed, adopted=adopted, repaired=repaired)
    buckets = [
        *(*plan.needs_recovery, *plan.already_running),
        *(*plan.maybe_done, *plan.inferred_done, *plan.lost_to_adoption, *plan.lost_to_repair),
    ]
    assert sorted(buckets) == sorted(started | listed | adopted | repaired)
    after = rest.after(plan, recovered=plan.needs_recovery)
    assert after.maybe_done <= after.started
    assert after.started == ((started - adopted - repaired) | listed) - frozenset(plan.inferred_done)
