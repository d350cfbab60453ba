"""Finding the saga that a command is about, and what comes before a repair of it."""

from __future__ import annotations

from nexus.db.saga_reads import find_saga, read_events
from omdb.errors import OmdbError
from omdb.safety import confirm
from omdb.sec_check import check_sec_is_gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from psycopg import Connection

    from nexus.db.saga_reads import SagaRecord
    from nexus.saga.ids import SagaId
    from omdb.database import Database
    from omdb.session import Session

_SKIPPED = """\
Skipping the check of whether the Nexus assigned to this saga is running.  If it
is, what an action does meanwhile may go on after this command is done."""

_STUCK = "Nothing resumes it, and somebody has to clean up what its nodes left"


def find(connection: Connection, saga_id: SagaId) -> SagaRecord:
    """Raises OmdbError."""
    saga = find_saga(connection, saga_id)
    if saga is None:
        raise OmdbError(f"there is no saga {saga_id} in the database")
    return saga


def prepare_repair(
    session: Session, database: Database, saga_id: SagaId, *, warning: str, bypass_sec_check: bool
) -> SagaRecord:
    """The saga as it was when the user saw the warning, was told of its SEC, and typed `y`. Raises OmdbError."""
    with database.reading() as connection:
        saga = find(connection, saga_id)
        stuck = saga.state == "done" and any(event.kind == "undo_failed" for event in read_events(connection, saga_id))
    if stuck:
        raise OmdbError(f"saga {saga_id} is already done: it ended stuck. {_STUCK}")
    if not saga.in_progress:
        raise OmdbError(f"saga {saga_id} is already {saga.state}")
    session.warn(warning)
    if bypass_sec_check:
        session.warn(_SKIPPED)
    else:
        check_sec_is_gone(session, saga.current_sec)
    confirm(session)
    return saga
