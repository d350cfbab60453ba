"""`omdb nexus background-tasks activate`"""

from __future__ import annotations

from nexus.clients.nexus import activate_background_tasks
from omdb.errors import OmdbError
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from omdb.nexus_connection import NexusConnection


def activate(task: str, /, *tasks: str, session: Session) -> int:
    """Make background tasks of a Nexus run now, or again as soon as they are done.

    This changes the state of Nexus and needs -w.

    Parameters
    ----------
    task
        Name of a task.
    tasks
        Names of more tasks. If Nexus does not know one of them, none is run.
    """
    nexus = session.nexus()
    token = check_destructive(session.settings)
    names = (task, *tasks)
    try:
        _activate(nexus, names, token)
    except OmdbError as error:
        raise OmdbError(f"error activating background tasks: {error}") from None
    session.note(f"activated background tasks: {', '.join(names)}")
    return 0


def _activate(nexus: NexusConnection, names: Sequence[str], _: DestructiveToken) -> None:
    nexus.call(activate_background_tasks(names))
