"""`omdb nexus quiesce show`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from nexus.clients.quiesce import decode_quiesce, view_quiesce
from omdb.render.quiesce import quiesce_lines
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.nexus_connection import NexusConnection


def show(*, stacks: Annotated[bool, Parameter(name=("--stacks", "-s"))] = False, session: Session) -> int:
    """Print whether a Nexus quiesces, how far it has come, and what it waits for.

    Parameters
    ----------
    stacks
        Of each database connection in use, print also which task has it.
    """
    return print_quiesce(session, session.nexus(), stacks=stacks)


def print_quiesce(session: Session, nexus: NexusConnection, *, stacks: bool) -> int:
    session.print(quiesce_lines(nexus.fetch(view_quiesce(), decode_quiesce), now=session.now(), stacks=stacks))
    return 0
