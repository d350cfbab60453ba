"""`omdb nexus sagas show`"""

from __future__ import annotations

from uuid import UUID

from nexus.api.types import SagaStuck
from nexus.clients.nexus import decode_saga_details, view_saga_details
from omdb.commands.nexus.saga_notes import note_in_memory_only, saga_nexus
from omdb.nexus_connection import NexusRefused
from omdb.render.saga_tree import saga_lines
from omdb.session import Session

_STUCK = """\
WARNING: This saga is stuck: an undo action of it failed for good, so it has ended
without taking back all that it did.  Nothing resumes it.  Somebody has to clean up
what its nodes left; `omdb db saga show {}` has the log."""


def show(saga_id: UUID, /, *, session: Session) -> int:
    """Print a saga that a Nexus holds in memory, node by node.

    Of sagas that have ended, a Nexus keeps the nodes of the last 100.

    Parameters
    ----------
    saga_id
        The saga id that `list` prints.
    """
    nexus = saga_nexus(session)
    note_in_memory_only(session)
    try:
        saga = nexus.fetch(view_saga_details(saga_id), decode_saga_details)
    except NexusRefused as error:
        session.note(f"error: {error}")
        if error.status == 404:
            session.note(f"note: `omdb db saga show {saga_id}` tells what the database has of it")
        return 1
    session.print(saga_lines(saga))
    if isinstance(saga.state, SagaStuck):
        session.note(_STUCK.format(saga.id))
    return 0
