"""`omdb db saga running`"""

from __future__ import annotations

from nexus.db.saga_reads import list_in_progress
from omdb.render.stored_sagas import stored_saga_table
from omdb.session import Session


def running(*, session: Session) -> int:
    """Print the sagas that run or unwind, the newest first.

    Those of all Nexuses: `current_sec` is the Nexus that is to run the saga, which need not be there.
    """
    limit = session.fetch_limit()
    database = session.database()
    with database.reading() as connection:
        sagas = list_in_progress(connection, limit=limit)
    session.note_limit("listing sagas", found=len(sagas))
    session.print(stored_saga_table(sagas))
    return 0
