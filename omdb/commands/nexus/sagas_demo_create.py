"""`omdb nexus sagas demo-create`"""

from __future__ import annotations

from nexus.clients.nexus import create_demo_saga, decode_demo_saga
from omdb.commands.nexus.saga_notes import saga_nexus
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.api.types import DemoSaga
    from omdb.nexus_connection import NexusConnection


def demo_create(*, session: Session) -> int:
    """Start a demo saga, which waits until `demo-complete` tells it to finish.

    This changes the state of Nexus and needs -w.
    """
    nexus = saga_nexus(session)
    created = _create(nexus, check_destructive(session.settings))
    session.print_text(f"saga id:      {created.saga_id}")
    session.print_text(f"demo saga id: {created.demo_saga_id} (use this with `demo-complete`)")
    return 0


def _create(nexus: NexusConnection, _: DestructiveToken) -> DemoSaga:
    return nexus.fetch(create_demo_saga(), decode_demo_saga)
