"""`omdb nexus sleds list-uninitialized`"""

from __future__ import annotations

from nexus.clients.deployment import decode_uninitialized_sleds, list_uninitialized_sleds
from omdb.render.sleds import uninitialized_table
from omdb.session import Session


def list_uninitialized(*, session: Session) -> int:
    """Print the sleds that the rack has and the control plane does not use."""
    session.print(uninitialized_table(session.nexus().fetch(list_uninitialized_sleds(), decode_uninitialized_sleds)))
    return 0
