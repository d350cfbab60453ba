"""The background tasks of a Nexus, for the commands about them."""

from __future__ import annotations

from nexus.clients.nexus import Unreadable, decode_background_tasks, list_background_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.api.types import BackgroundTask
    from omdb.session import Session


def fetch_tasks(session: Session) -> tuple[dict[str, BackgroundTask], bool]:
    """The tasks by name, in name order, and whether that is all of them: one that cannot be read is a warning."""
    found = session.nexus().fetch(list_background_tasks(), decode_background_tasks)
    tasks: dict[str, BackgroundTask] = {}
    for name, task in found.items():
        if isinstance(task, Unreadable):
            session.note(f'warning: cannot read background task "{name}": {task.reason}: {task.text}')
        else:
            tasks[name] = task
    return tasks, len(tasks) == len(found)
