"""The background tasks of a Nexus, for the commands about them."""

from __future__ import annotations

from nexus.clients.nexus import Unreadable, decode_background_tasks, list_background_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus.api.types import BackgroundTask
    from omdb.session import Session


def fetch_tasks(session: Session) -> dict[str, BackgroundTask | Unreadable]:
    """The tasks by name, in name order."""
    return session.nexus().fetch(list_background_tasks(), decode_background_tasks)


def readable(
    tasks: Mapping[str, BackgroundTask | Unreadable], *, session: Session
) -> tuple[list[BackgroundTask], bool]:
    """Those that could be read, and whether that is all of them. The others are told as warnings."""
    found: list[BackgroundTask] = []
    for name, task in tasks.items():
        if isinstance(task, Unreadable):
            session.note(f'warning: cannot read background task "{name}": {task.reason}: {task.text}')
        else:
            found.append(task)
    return found, len(found) == len(tasks)
