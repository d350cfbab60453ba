"""`omdb db saga abandon`"""

from __future__ import annotations

from uuid import UUID

from nexus.db import saga_repairs
from nexus.db.saga_repairs import RepairRefused
from nexus.saga.ids import SagaId
from omdb.commands.db.recorded_saga import prepare_repair
from omdb.errors import OmdbError, UsageError
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.db.saga_reads import SagaRecord
    from omdb.database import Database

DEFAULT_COMMENT = "manually abandoned"

_WARNING = """\
WARNING: An abandoned saga stays as it is for ever.  The Nexus that it is assigned
to does not resume it when it starts, no other Nexus adopts it, and nothing of
what it has done is undone.  Do this only if

- you stopped the Nexus that runs the saga, and are prepared to take back by hand
  what the saga has changed; or

- nothing of value is lost with this system.

A Nexus that still runs the saga cannot write its log any more and will notice
that when it next tries.  What an action of its does until then is not stopped."""


def abandon(
    saga_id: UUID, /, *, comment: str = DEFAULT_COMMENT, bypass_sec_check: bool = False, session: Session
) -> int:
    """Give a saga up: it is never recovered, and nothing of it is undone.

    This changes the database and needs -w. It asks before it does.

    Parameters
    ----------
    saga_id
        A saga that runs or unwinds.
    comment
        Why, for whoever looks at the saga later. Without it: "manually abandoned".
    bypass_sec_check
        Do not check whether the Nexus that the saga is assigned to is still running.
    """
    if not comment.isprintable():
        raise UsageError("Invalid value for --comment: it has characters that cannot be printed.")
    database = session.database()
    token = check_destructive(session.settings)
    saga = prepare_repair(session, database, SagaId(saga_id), warning=_WARNING, bypass_sec_check=bypass_sec_check)
    _abandon(session, database, saga, token, comment=comment)
    session.note(f"note: saga {saga.saga_id} is abandoned")
    return 0


def _abandon(session: Session, database: Database, saga: SagaRecord, token: DestructiveToken, *, comment: str) -> None:
    now = session.now()
    try:
        database.write(
            lambda connection: saga_repairs.abandon(
                connection, saga.saga_id, claim=saga.claim, comment=comment, now=now
            ),
            token,
        )
    except RepairRefused as error:
        raise OmdbError(str(error)) from None
