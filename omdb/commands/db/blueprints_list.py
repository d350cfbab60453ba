"""`omdb db blueprints list`"""

from __future__ import annotations

from nexus.db.deployment_reads import list_blueprints
from omdb.commands.db.recorded_target import find_target
from omdb.render.blueprints import blueprint_table
from omdb.session import Session


def list_(*, session: Session) -> int:
    """Print all blueprints, by the time when they were made.

    The target has a star, and whether it is enabled: whether it is to be executed.
    """
    limit = session.fetch_limit()
    database = session.database()
    with database.reading() as connection:
        blueprints = list_blueprints(connection, limit=limit)
        target = find_target(connection)
    session.note_limit("listing blueprints", found=len(blueprints))
    session.print(blueprint_table(blueprints, target))
    return 0
