"""What the tasks that plan and execute blueprints say of their last activation. Pure.

The structs are the forms of their details; `task_details` converts them.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from omdb.render.tables import empty_table
from omdb.render.text import indent, line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.render.text import Line


class StepReport(msgspec.Struct):
    description: str
    outcome: Literal["completed", "warning"]
    message: str
    elapsed_ms: int


class EventReport(msgspec.Struct):
    steps: list[StepReport]


class BlueprintExecutorDetails(msgspec.Struct):
    """The last two are there if the blueprint was executed."""

    target_id: str
    enabled: bool
    execution_error: str | None = None
    event_report: EventReport | None = None


def blueprint_executor(found: BlueprintExecutorDetails) -> list[Line]:
    report = found.event_report
    if report is None:
        status, warnings = "(no event report found)", []
    else:
        status = f"completed ({len(report.steps)} steps)"
        warnings = [step for step in report.steps if step.outcome == "warning"]
    return [
        line(f"    target blueprint: {printable(found.target_id)}"),
        line(f"    execution:        {'enabled' if found.enabled else 'disabled'}"),
        line(f"    status:           {status}"),
        *(
            line(
                "    ",
                ("warning:", "warning"),
                f"          at: {printable(step.description)}: {printable(step.message)}",
            )
            for step in warnings
        ),
        line(f"    error:            {printable(found.execution_error or '(none)')}"),
    ]


_STEP_WORDS = {"completed": ("   Completed", "succeeded"), "warning": ("     Warning", "warning")}


def event_report(report: EventReport) -> list[Line]:
    """A line for each step."""
    width = len(str(len(report.steps)))
    return [
        line(
            _STEP_WORDS[step.outcome],
            f" ({number:{width}}/{len(report.steps)}) {printable(step.description)}"
            f": after {step.elapsed_ms}ms: {printable(step.message)}",
        )
        for number, step in enumerate(report.steps, 1)
    ]


class PlannerDisabled(msgspec.Struct, tag_field="status", tag="disabled"):
    pass


class PlannerLimitReached(msgspec.Struct, tag_field="status", tag="limit_reached"):
    limit: int


class PlannerUnchanged(msgspec.Struct, tag_field="status", tag="unchanged"):
    parent_blueprint_id: str
    blueprint_count: int
    limit: int


class PlannerTargeted(msgspec.Struct, tag_field="status", tag="targeted"):
    parent_blueprint_id: str
    blueprint_id: str
    comment: str
    blueprint_count: int
    limit: int
    """The count is that before this one."""


BlueprintPlannerDetails: TypeAlias = PlannerDisabled | PlannerLimitReached | PlannerUnchanged | PlannerTargeted


def blueprint_planner(found: BlueprintPlannerDetails) -> list[Line]:
    match found:
        case PlannerDisabled():
            return [line("    blueprint planning explicitly disabled by config!")]
        case PlannerLimitReached():
            return [line(f"    blueprint planning stopped: the database has the limit of {found.limit} blueprints")]
        case PlannerUnchanged():
            planned = [line(f"    plan unchanged from parent {printable(found.parent_blueprint_id)}")]
        case PlannerTargeted():
            planned = [
                line(f"    planned new blueprint {printable(found.blueprint_id)}, which is the target now"),
                line(f"    parent:  {printable(found.parent_blueprint_id)}"),
                line(f"    comment: {printable(found.comment)}"),
            ]
    return [*planned, line(f"    note: {found.blueprint_count}/{found.limit} blueprints in database")]


class WaitingFor(msgspec.Struct):
    zone_id: str
    address: str
    reason: str


class ExpungedZoneWatcherDetails(msgspec.Struct):
    waiting_for: list[WaitingFor]
    ready_for_cleanup: list[str]


def expunged_zone_watcher(found: ExpungedZoneWatcherDetails) -> list[Line]:
    lines = [line(f"    expunged zones that may still run: {len(found.waiting_for)}")]
    if found.waiting_for:
        rows = [(zone.zone_id, zone.address, zone.reason) for zone in found.waiting_for]
        lines += indent(empty_table(("ZONE_ID", "ADDRESS", "REASON"), rows), 6)
    lines.append(line(f"    found to run no more, and marked ready for cleanup: {len(found.ready_for_cleanup)}"))
    if found.ready_for_cleanup:
        lines += indent(empty_table(("ZONE_ID",), [(zone_id,) for zone_id in found.ready_for_cleanup]), 6)
    return lines
