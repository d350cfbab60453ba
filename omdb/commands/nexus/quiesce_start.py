"""`omdb nexus quiesce start`"""

from __future__ import annotations

from nexus.clients.quiesce import start_quiesce
from omdb.commands.nexus.quiesce_show import print_quiesce
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.nexus_connection import NexusConnection


def start(*, session: Session) -> int:
    """Have a Nexus quiesce: it makes no new sagas, finishes those it has, and then leaves the database alone.

    There is no way back for this process, nor, once it is quiesced, for any other of its id. This changes the state of
    Nexus and needs -w.
    """
    nexus = session.nexus()
    _start(nexus, check_destructive(session.settings))
    return print_quiesce(session, nexus, stacks=False)


def _start(nexus: NexusConnection, _: DestructiveToken) -> None:
    nexus.call(start_quiesce())
