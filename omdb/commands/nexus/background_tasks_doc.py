"""`omdb nexus background-tasks doc`"""

from __future__ import annotations

from omdb.commands.nexus.background_tasks import fetch_tasks, readable
from omdb.render.background_tasks import task_doc
from omdb.session import Session


def doc(*, session: Session) -> int:
    """Print what each background task of a Nexus is for."""
    tasks, complete = readable(fetch_tasks(session), session=session)
    for task in tasks:
        session.print(task_doc(task))
    return 0 if complete else 1
