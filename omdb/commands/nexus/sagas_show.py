"""`omdb nexus sagas show`"""

from __future__ import annotations

from uuid import UUID

from nexus.clients.nexus import decode_saga_details, view_saga_details
from omdb.commands.nexus.saga_notes import note_in_memory_only, saga_nexus
from omdb.render.saga_tree import saga_lines
from omdb.session import Session


def show(saga_id: UUID, /, *, session: Session) -> int:
    """Print a saga that a Nexus holds in memory, node by node.

    Parameters
    ----------
    saga_id
        The saga id that `list` prints.
    """
    nexus = saga_nexus(session)
    note_in_memory_only(session)
    session.print(saga_lines(nexus.fetch(view_saga_details(saga_id), decode_saga_details)))
    return 0
