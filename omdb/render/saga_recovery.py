"""The details of background task `saga_recovery`. Pure.

Upstream's omdb prints the number of skipped sagas behind `removed:`; here it is that of the removed ones. Its
columns of numbers are three wide; here a longer number makes the whole column wider.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from omdb.render import times
from omdb.render.tables import empty_table
from omdb.render.text import indent, line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from omdb.render.text import Line


class Recovery(msgspec.Struct):
    time: datetime
    saga_id: str


class RecoveryFailure(msgspec.Struct):
    time: datetime
    saga_id: str
    message: str


class Loss(msgspec.Struct):
    time: datetime
    saga_id: str
    new_sec: str


class PassFailure(msgspec.Struct):
    message: str


class PassSuccess(msgspec.Struct):
    nfound: int
    nrecovered: int
    nfailed: int
    nskipped: int
    nremoved: int


class LastPass(msgspec.Struct):
    """Of the two, the one that is there."""

    failure: PassFailure | None = msgspec.field(name="Failed", default=None)
    success: PassSuccess | None = msgspec.field(name="Success", default=None)

    def __post_init__(self) -> None:
        if (self.failure is None) == (self.success is None):
            raise ValueError("expected either a Failed or a Success")


class SagaRecoveryDetails(msgspec.Struct):
    recent_recoveries: list[Recovery]
    recent_failures: list[RecoveryFailure]
    last_pass: str | LastPass
    """Text if there was none yet: `NeverStarted`."""

    ntotal_recovered: int
    ntotal_failures: int
    ntotal_started: int
    ntotal_finished: int
    ntotal_sec_errors_missing: int
    ntotal_sec_errors_bad_state: int
    recent_losses: list[Loss] = []
    ntotal_lost_to_adoption: int = 0
    """Not of upstream's: a Nexus that does not count them has none to tell."""


def saga_recovery(details: SagaRecoveryDetails) -> list[Line]:
    counters = [
        ("sagas recovered:", details.ntotal_recovered),
        ("sagas recovery errors:", details.ntotal_failures),
        ("sagas observed started:", details.ntotal_started),
        ("sagas inferred finished:", details.ntotal_finished),
        ("missing from SEC:", details.ntotal_sec_errors_missing),
        ("bad state in SEC:", details.ntotal_sec_errors_bad_state),
    ]
    if details.ntotal_lost_to_adoption:
        counters.append(("sagas lost to adoption:", details.ntotal_lost_to_adoption))
    numbers = _column(count for _, count in counters)
    return indent(
        [
            line("since Nexus started:"),
            *(line(f"    {label:<25}{number}") for (label, _), number in zip(counters, numbers, strict=True)),
            *_last_pass(details.last_pass),
            *_recoveries(details.recent_recoveries),
            *_failures(details.recent_failures),
            *_losses(details.recent_losses),
        ],
        4,
    )


def _column(counts: Iterable[int]) -> list[str]:
    """To the right, in upstream's three columns or as many as the longest one needs."""
    texts = [str(count) for count in counts]
    width = max(3, *map(len, texts))
    return [text.rjust(width) for text in texts]


def _last_pass(last_pass: str | LastPass) -> list[Line]:
    match last_pass:
        case LastPass(success=PassSuccess() as counts):
            found, recovered, failed, skipped, removed = _column(
                (counts.nfound, counts.nrecovered, counts.nfailed, counts.nskipped, counts.nremoved)
            )
            return [
                line("last pass:"),
                line(f"    found sagas: {found} (in-progress, assigned to this Nexus)"),
                line(f"    recovered:   {recovered} (successfully)"),
                line(f"    failed:      {failed}"),
                line(f"    skipped:     {skipped} (already running)"),
                line(f"    removed:     {removed} (newly finished)"),
            ]
        case LastPass(failure=PassFailure(message=message)):
            return [line(("last pass FAILED:", "failed"), f" {printable(message)}")]
        case _:
            return [line("never run")]


def _recoveries(recoveries: list[Recovery]) -> list[Line]:
    if not recoveries:
        return [line("no recovered sagas")]
    rows = [(times.to_seconds(recovery.time), recovery.saga_id) for recovery in recoveries]
    table = empty_table(("TIME", "SAGA_ID"), rows)
    return [line(f"recently recovered sagas ({len(recoveries)}):"), *indent(table, 4)]


def _failures(failures: list[RecoveryFailure]) -> list[Line]:
    if not failures:
        return [line("no saga recovery failures")]
    rows = [(times.to_seconds(failure.time), failure.saga_id, failure.message) for failure in failures]
    table = empty_table(("TIME", "SAGA_ID", "MESSAGE"), rows)
    heading = line((f"recent sagas recovery failures ({len(failures)}):", "failed"))
    return [heading, *indent(table, 4)]


def _losses(losses: list[Loss]) -> list[Line]:
    if not losses:
        return []
    rows = [(times.to_seconds(loss.time), loss.saga_id, loss.new_sec) for loss in losses]
    table = empty_table(("TIME", "SAGA_ID", "NEW_OWNER"), rows)
    return [line(f"sagas recently lost to adoption ({len(losses)}):"), *indent(table, 4)]
