"""`omdb nexus background-tasks show`"""

from __future__ import annotations

from nexus.api.types import Completed
from omdb.commands.nexus.background_tasks import fetch_tasks, readable
from omdb.render.background_tasks import task_status
from omdb.render.task_details import OddDetails, task_details, unknown_details
from omdb.session import Session
from omdb.task_selection import select_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.api.types import BackgroundTask


def show(*tasks: str, no_executing_info: bool = False, session: Session) -> int:
    """Print what background tasks of a Nexus did last, and what came of it.

    Parameters
    ----------
    tasks
        Names of tasks, or all, dns_internal, dns_external. Without any, all tasks.
    no_executing_info
        Leave out what each task is doing right now.
    """
    known = fetch_tasks(session)
    selected = {name: known[name] for name in select_tasks(tasks, known)}
    found, complete = readable(selected, session=session)
    now = session.now()
    for task in found:
        session.print(task_status(task, now=now, executing=not no_executing_info))
        complete &= _print_details(task, session)
    return 0 if complete else 1


def _print_details(task: BackgroundTask, session: Session) -> bool:
    """Whether they could be made out. If not they are printed as they came."""
    if not isinstance(task.last, Completed):
        return True
    details = task.last.details.details
    try:
        session.print([*task_details(task.name, details), ()])
    except OddDetails as error:
        session.note(f"warning: failed to interpret task details: {error}")
        session.print([*unknown_details(details), ()])
        return False
    return True
