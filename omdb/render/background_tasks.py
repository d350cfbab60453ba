"""Background tasks as `omdb nexus background-tasks` shows them, but for what each task says itself. Pure.

That part, the details, is `task_details.py`'s.
"""

from __future__ import annotations

import textwrap

from nexus.api.types import Completed, Running
from omdb.render import times
from omdb.render.tables import empty_table
from omdb.render.text import line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nexus.api.types import ActivationReason, BackgroundTask
    from omdb.render.text import Line

WIDTH = 80

_REASONS: dict[ActivationReason, str] = {
    "signaled": "an explicit signal",
    "dependency": "a dependent task completing",
    "timeout": "a periodic timer firing",
}
_REASON_LETTERS: dict[ActivationReason, str] = {"signaled": "S", "dependency": "D", "timeout": "T"}


def task_table(tasks: Iterable[BackgroundTask]) -> list[Line]:
    """One row a task. P is its last completed activation, C the current one."""
    headings = ("TASK_NAME", "PGEN#", "PSTART", "Psecs", "P", "CSTART", "C")
    rows = []
    for task in tasks:
        previous, current = ("-",) * 4, ("-",) * 2
        if isinstance(task.last, Completed):
            last = task.last.details
            elapsed = f"{last.elapsed.seconds:5.1f}"
            start = times.to_seconds(last.start_time)
            previous = (str(last.iteration), start, elapsed, _REASON_LETTERS[last.reason])
        if isinstance(task.current, Running):
            running = task.current.details
            current = (times.to_seconds(running.start_time), _REASON_LETTERS[running.reason])
        rows.append((task.name, *previous, *current))
    return empty_table(headings, rows)


def task_doc(task: BackgroundTask) -> list[Line]:
    margin = "    "
    description = textwrap.wrap(task.description, WIDTH, initial_indent=margin, subsequent_indent=margin)
    return [_title(task), *(line(printable(text)) for text in description), (), ()]


def task_status(task: BackgroundTask, *, now: datetime, executing: bool) -> list[Line]:
    """All that is told of a task but for its details. `executing`: tell, too, what it is doing right now."""
    lines = [_title(task), line(f"  configured period: every {times.human(task.period)}")]
    if executing:
        lines += _executing(task, now=now)
    match task.last:
        case Completed(details=last):
            lines += [
                line(f"  last completed activation: iter {last.iteration}, triggered by {_REASONS[last.reason]}"),
                line(
                    f"    started at {times.to_milliseconds(last.start_time)}"
                    f" ({times.whole_seconds_since(last.start_time, now)}s ago)"
                    f" and ran for {times.whole_milliseconds(last.elapsed)}ms"
                ),
            ]
        case _:
            lines.append(line("  last completed activation: never"))
    return lines


def _executing(task: BackgroundTask, *, now: datetime) -> list[Line]:
    match task.current:
        case Running(details=running):
            reason = _REASONS[running.reason]
            running_ms = times.whole_milliseconds_since(running.start_time, now)
            return [
                line("  currently executing: ", (f"iter {running.iteration}", "running"), f", triggered by {reason}"),
                line(f"    started at {times.to_milliseconds(running.start_time)}, running for {running_ms}ms"),
            ]
        case _:
            return [line("  currently executing: no")]


def _title(task: BackgroundTask) -> Line:
    return line('task: "', (printable(task.name), "name"), '"')
