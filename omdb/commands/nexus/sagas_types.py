"""`omdb nexus sagas types`"""

from __future__ import annotations

from nexus.clients.nexus import decode_saga_types, list_saga_types
from omdb.commands.nexus.saga_notes import saga_nexus
from omdb.render.saga_tree import saga_type_lines
from omdb.session import Session


def types(*, session: Session) -> int:
    """Print the types of sagas that `create` can start: their parameters, and the DAG that these make."""
    nexus = saga_nexus(session)
    for saga_type in nexus.fetch(list_saga_types(), decode_saga_types):
        session.print(saga_type_lines(saga_type))
    return 0
