"""`omdb db saga inject-error`"""

from __future__ import annotations

from uuid import UUID

from nexus.db import saga_repairs
from nexus.db.saga_repairs import RepairRefused
from nexus.saga.ids import NodeId, SagaId
from omdb.commands.db.recorded_saga import prepare_repair
from omdb.errors import OmdbError
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.db.saga_reads import SagaRecord
    from omdb.database import Database

_WARNING = """\
WARNING: Every node of the saga that has started and has not come to its end will
be recorded as failed, and the saga will unwind when it is next recovered.  What
such a node has done so far is NOT undone.  Do this only if

- you stopped the Nexus that runs the saga, and made sure that these nodes have
  changed nothing, or took back by hand what they changed; or

- nothing of value is lost with this system.

A Nexus that still runs the saga cannot write its log any more and will notice
that when it next tries.  What an action of its does until then is not stopped."""


def inject_error(saga_id: UUID, /, *, bypass_sec_check: bool = False, session: Session) -> int:
    """Make the running nodes of a saga fail, so that it unwinds.

    Takes effect when the saga is next recovered, as its Nexus does when it starts. This changes the database and needs
    -w. It asks before it does.

    Parameters
    ----------
    saga_id
        A saga that runs or unwinds.
    bypass_sec_check
        Do not check whether the Nexus that the saga is assigned to is still running.
    """
    database = session.database()
    token = check_destructive(session.settings)
    saga = prepare_repair(session, database, SagaId(saga_id), warning=_WARNING, bypass_sec_check=bypass_sec_check)
    for node_id in _inject(session, database, saga, token):
        session.print_text(f"injecting error for saga {saga.saga_id} node {node_id}")
    return 0


def _inject(session: Session, database: Database, saga: SagaRecord, token: DestructiveToken) -> list[NodeId]:
    now = session.now()
    try:
        return database.write(
            lambda connection: saga_repairs.inject_error(connection, saga.saga_id, claim=saga.claim, now=now), token
        )
    except RepairRefused as error:
        raise OmdbError(str(error)) from None
