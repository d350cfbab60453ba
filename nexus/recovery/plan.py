"""Saga recovery: which sagas this SEC must resume (planning only).

A pass of recovery compares two things: which unfinished sagas the database assigns to this SEC, and which sagas this
process has started or recovered (`RestState`). Reading the database and resuming sagas is
`background/tasks/saga_recovery.py`. A plan is right only if its caller has listed the sagas *before* it drained the
saga-started channel, see `RecoveryPlan.new`.

    listed   running here   bucket
    yes      no             needs_recovery
    yes      yes            already_running
    no       yes            maybe_done      the first time
    no       yes            inferred_done   when it was maybe_done in the pass before
    yes      lost           needs_recovery
    no       adopted        lost_to_adoption
    no       lost           lost_to_repair

A saga that another SEC has adopted is not listed for this one any more either, nor is one that somebody abandoned. The
SEC tells which it has lost, or those would be taken for finished. One that it lost and that is listed was repaired by
hand, by an error that was injected into its log, and is to go on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexus.saga.ids import SagaId


@dataclass(frozen=True, slots=True)
class RestState:
    """What is remembered between two passes."""

    started: frozenset[SagaId] = frozenset()
    """Sagas that this process has started or recovered and that are not known to be done."""

    maybe_done: frozenset[SagaId] = frozenset()
    """Those of `started` that the last listing did not have."""

    def with_started(self, saga_ids: Iterable[SagaId]) -> RestState:
        return RestState(self.started.union(saga_ids), self.maybe_done)

    def after(self, plan: RecoveryPlan, *, recovered: Iterable[SagaId]) -> RestState:
        """The state to keep once `plan`, made from this state, was carried out and `recovered` run here."""
        gone = {*plan.inferred_done, *plan.lost_to_adoption, *plan.lost_to_repair, *plan.needs_recovery}
        started = self.started.difference(gone).union(recovered)
        return RestState(started, frozenset(plan.maybe_done))


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """Every saga that was listed or is thought to run here, each in exactly one bucket, by id."""

    needs_recovery: tuple[SagaId, ...]
    already_running: tuple[SagaId, ...]
    maybe_done: tuple[SagaId, ...]
    inferred_done: tuple[SagaId, ...]
    lost_to_adoption: tuple[SagaId, ...]
    lost_to_repair: tuple[SagaId, ...]

    @classmethod
    def new(
        cls,
        rest: RestState,
        *,
        in_progress: Iterable[SagaId],
        adopted: Iterable[SagaId] = (),
        repaired: Iterable[SagaId] = (),
    ) -> RecoveryPlan:
        """Plan one pass.

        `in_progress` is what the database lists as assigned to this SEC and unfinished. `rest` must hold every saga
        whose start was announced up to *after* that listing. A saga is announced before its record is written, so
        whatever was listed and was started here is then known as started here. The other way around, a saga created
        between the draining and the listing would look like one that nobody runs and be run twice.

        `adopted` are the sagas that the SEC has lost to another SEC since the last pass, `repaired` those that it has
        lost otherwise. One that is listed all the same needs recovery as if it had never been here. All that were
        lost before the *last* listing must be among them, or they would be inferred done, or taken for running: have
        the SEC check its claims first.

        What is not listed is more than one thing: a saga that has finished, or one that was announced and whose
        record was not written yet when the list was made. The next pass tells them apart: by then it is listed, or
        finished.
        """
        listed = frozenset(in_progress)
        lost_to_others, lost_otherwise = frozenset(adopted), frozenset(repaired)
        running = rest.started - lost_to_others - lost_otherwise
        unlisted = running - listed
        return cls(
            needs_recovery=tuple(sorted(listed - running)),
            already_running=tuple(sorted(listed & running)),
            maybe_done=tuple(sorted(unlisted - rest.maybe_done)),
            inferred_done=tuple(sorted(unlisted & rest.maybe_done)),
            lost_to_adoption=tuple(sorted(lost_to_others - listed)),
            lost_to_repair=tuple(sorted(lost_otherwise - lost_to_others - listed)),
        )
