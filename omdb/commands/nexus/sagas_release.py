"""`omdb nexus sagas release`"""

from __future__ import annotations

from uuid import UUID

from nexus.clients.nexus import decode_released_nodes, release_saga
from omdb.commands.nexus.saga_notes import saga_nexus
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.api.experimental_types import ReleasedNodes
    from omdb.nexus_connection import NexusConnection


def release(saga_id: UUID, node: str | None = None, /, *, session: Session) -> int:
    """Let a node that is held go on, or all that are.

    This changes the state of Nexus and needs -w.

    Parameters
    ----------
    saga_id
        The saga id that `list` prints.
    node
        The name of the node, which may also be one that is not held yet. Without it, all that are held now.
    """
    nexus = saga_nexus(session)
    released = _release(nexus, saga_id, node, check_destructive(session.settings))
    names = ", ".join(released.node_names)
    if released.held:
        session.print_text(f"released: {names or 'nothing, as no node is held'}")
    else:
        session.print_text(f"{names}: will not be held")
    return 0


def _release(nexus: NexusConnection, saga_id: UUID, node: str | None, _: DestructiveToken) -> ReleasedNodes:
    return nexus.fetch(release_saga(saga_id, node_name=node), decode_released_nodes)
