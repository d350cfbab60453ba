"""`omdb db blueprints history`"""

from __future__ import annotations

from nexus.db.deployment_reads import list_targets
from omdb.render.blueprints import target_history
from omdb.session import Session


def history(*, session: Session) -> int:
    """Print which blueprint was the target from when on. The last one is in force."""
    limit = session.fetch_limit()
    database = session.database()
    with database.reading() as connection:
        targets = list_targets(connection, limit=limit)
    session.note_limit("listing targets", found=len(targets))
    session.print(target_history(targets))
    return 0
