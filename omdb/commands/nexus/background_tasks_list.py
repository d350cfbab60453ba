"""`omdb nexus background-tasks list`"""

from __future__ import annotations

from omdb.commands.nexus.background_tasks import fetch_tasks, readable
from omdb.render.background_tasks import task_table
from omdb.session import Session


def list_(*, session: Session) -> int:
    """Print all background tasks of a Nexus, one a line.

    PGEN#, PSTART, Psecs and P are the last completed activation: its number, when it started, how many seconds it took
    and why it was made (S: an explicit signal, D: another task's result, T: the timer). CSTART and C are the same of
    the one under way.
    """
    tasks, complete = readable(fetch_tasks(session), session=session)
    session.print(task_table(tasks))
    return 0 if complete else 1
