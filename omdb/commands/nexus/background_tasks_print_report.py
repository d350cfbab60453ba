"""`omdb nexus background-tasks print-report`"""

from __future__ import annotations

from nexus.api.types import Completed
from nexus.clients.nexus import Unreadable
from omdb.commands.nexus.background_tasks import fetch_tasks
from omdb.errors import OmdbError
from omdb.render.blueprint_tasks import event_report
from omdb.render.task_details import OddDetails, find_event_report
from omdb.session import Session


def print_report(task: str, /, *, session: Session) -> int:
    """Print step by step what a background task of a Nexus did last. Of all tasks only blueprint_executor reports that.

    Parameters
    ----------
    task
        Name of a task.
    """
    known = fetch_tasks(session)
    if task not in known:
        raise OmdbError(f'unknown task name: "{task}" (known task names: {", ".join(known)})')
    found = known[task]
    if isinstance(found, Unreadable):
        raise OmdbError(f'cannot read background task "{task}": {found.reason}: {found.text}')
    if not isinstance(found.last, Completed):
        raise OmdbError(f'task "{task}" has never completed')
    try:
        report = find_event_report(found.last.details.details)
    except OddDetails as error:
        raise OmdbError(f'cannot read the event report of task "{task}": {error}') from None
    if report is None:
        raise OmdbError(f'task "{task}" has no event report')
    session.print(event_report(report))
    return 0
