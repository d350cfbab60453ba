"""What saga recovery has done since this process started, as JSON for omdb. Pure.

The JSON's shape is upstream's, so that either omdb reads either Nexus:

    {"recent_recoveries": [{"time", "saga_id"}],
     "recent_failures": [{"time", "saga_id", "current_sec", "kind": "transient" | "permanent", "message"}],
     "last_pass": "NeverStarted" | {"Failed": {"message"}}
                | {"Success": {"nfound", "nrecovered", "nfailed", "nskipped", "nremoved"}},
     "ntotal_recovered", "ntotal_failures", "ntotal_started", "ntotal_finished",
     "ntotal_sec_errors_missing", "ntotal_sec_errors_bad_state",
     "recent_losses": [{"time", "saga_id", "new_sec"}], "ntotal_lost_to_adoption"}

but for the last two: upstream counts what another Nexus has adopted as finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import msgspec

from nexus.saga.ids import SagaId, SecId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.recovery.plan import RecoveryPlan

T = TypeVar("T")

RECENT = 128
"""How many recoveries, failures and losses are told one by one. The counters go on for ever."""

FailureKind: TypeAlias = Literal["transient", "permanent"]


class Recovery(msgspec.Struct, frozen=True):
    time: datetime
    saga_id: SagaId


class RecoveryFailure(msgspec.Struct, frozen=True):
    time: datetime
    saga_id: SagaId
    current_sec: SecId
    kind: FailureKind
    message: str


class Loss(msgspec.Struct, frozen=True):
    """A saga that ran here until another SEC adopted it."""

    time: datetime
    saga_id: SagaId
    new_sec: SecId


class PassFailure(msgspec.Struct, frozen=True):
    """The sagas could not even be listed."""

    message: str


class PassSuccess(msgspec.Struct, frozen=True):
    """The pass came to its end, though single sagas may have failed to recover."""

    nfound: int
    """Listed in the database: what needed recovery and what was running already."""

    nrecovered: int
    nfailed: int
    nskipped: int
    nremoved: int


class Failed(msgspec.Struct, frozen=True):
    failure: PassFailure = msgspec.field(name="Failed")


class Succeeded(msgspec.Struct, frozen=True):
    success: PassSuccess = msgspec.field(name="Success")


LastPass: TypeAlias = Literal["NeverStarted"] | Failed | Succeeded


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of carrying out a plan, in the order in which it happened."""

    recoveries: tuple[Recovery, ...] = ()
    failures: tuple[RecoveryFailure, ...] = ()
    losses: tuple[Loss, ...] = ()
    missing_from_sec: int = 0
    """Sagas inferred done that the SEC has never heard of: a bug."""

    bad_state_in_sec: int = 0
    """Sagas inferred done that the SEC does not hold for done: a bug."""


class RecoveryReport(msgspec.Struct, frozen=True):
    """All since this process started. Oldest first in the lists, which hold the last `RECENT`."""

    recent_recoveries: tuple[Recovery, ...] = ()
    recent_failures: tuple[RecoveryFailure, ...] = ()
    last_pass: LastPass = "NeverStarted"
    ntotal_recovered: int = 0
    ntotal_failures: int = 0
    ntotal_started: int = 0
    ntotal_finished: int = 0
    ntotal_sec_errors_missing: int = 0
    ntotal_sec_errors_bad_state: int = 0
    recent_losses: tuple[Loss, ...] = ()
    ntotal_lost_to_adoption: int = 0

    def after_failed_pass(self, message: str, *, nstarted: int) -> RecoveryReport:
        """The sagas could not be listed. `nstarted` were announced all the same."""
        return msgspec.structs.replace(
            self, last_pass=Failed(PassFailure(message)), ntotal_started=self.ntotal_started + nstarted
        )

    def after_pass(self, plan: RecoveryPlan, execution: Execution, *, nstarted: int) -> RecoveryReport:
        success = PassSuccess(
            nfound=len(plan.needs_recovery) + len(plan.already_running),
            nrecovered=len(execution.recoveries),
            nfailed=len(execution.failures),
            nskipped=len(plan.already_running),
            nremoved=len(plan.inferred_done),
        )
        return RecoveryReport(
            recent_recoveries=_last(self.recent_recoveries, execution.recoveries),
            recent_failures=_last(self.recent_failures, execution.failures),
            last_pass=Succeeded(success),
            ntotal_recovered=self.ntotal_recovered + success.nrecovered,
            ntotal_failures=self.ntotal_failures + success.nfailed,
            ntotal_started=self.ntotal_started + nstarted,
            ntotal_finished=self.ntotal_finished + success.nremoved,
            ntotal_sec_errors_missing=self.ntotal_sec_errors_missing + execution.missing_from_sec,
            ntotal_sec_errors_bad_state=self.ntotal_sec_errors_bad_state + execution.bad_state_in_sec,
            recent_losses=_last(self.recent_losses, execution.losses),
            ntotal_lost_to_adoption=self.ntotal_lost_to_adoption + len(execution.losses),
        )


def _last(old: Sequence[T], new: Sequence[T]) -> tuple[T, ...]:
    return (*old, *new)[-RECENT:]
