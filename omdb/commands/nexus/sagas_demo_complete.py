"""`omdb nexus sagas demo-complete`"""

from __future__ import annotations

from uuid import UUID

from nexus.clients.nexus import complete_demo_saga
from omdb.commands.nexus.saga_notes import saga_nexus
from omdb.nexus_connection import NexusRefused
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.nexus_connection import NexusConnection


def demo_complete(demo_saga_id: UUID, /, *, session: Session) -> int:
    """Tell a demo saga to finish.

    It finishes soon after, not before this returns. This changes the state of Nexus and needs -w.

    Parameters
    ----------
    demo_saga_id
        The demo saga id that `demo-create` printed, not the saga id.
    """
    nexus = saga_nexus(session)
    token = check_destructive(session.settings)
    try:
        _complete(nexus, demo_saga_id, token)
    except NexusRefused as error:
        session.note(f"error: completing demo saga: {error}")
        if error.status == 404:
            session.note("note: only the Nexus that runs the saga can complete it: is this the one?")
            session.note("note: the id wanted is the demo saga id that `demo-create` printed, not the saga id")
        return 1
    return 0


def _complete(nexus: NexusConnection, demo_saga_id: UUID, _: DestructiveToken) -> None:
    nexus.call(complete_demo_saga(demo_saga_id))
