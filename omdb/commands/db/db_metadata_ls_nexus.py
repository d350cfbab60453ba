"""`omdb db db-metadata ls-nexus`"""

from __future__ import annotations

from nexus.db.deployment_reads import list_nexus_states
from omdb.commands.db.recorded_target import read_target_blueprint
from omdb.render.blueprints import nexus_state_lines
from omdb.session import Session


def ls_nexus(*, session: Session) -> int:
    """Print which Nexuses may use the database, as the generations take turns.

    Where a Nexus is not in the state that the target blueprint wants, the last column has that one.
    """
    limit = session.fetch_limit()
    database = session.database()
    with database.reading() as connection:
        states = list_nexus_states(connection, limit=limit)
        target = read_target_blueprint(connection)
    session.note_limit("listing Nexuses", found=len(states))
    session.print(nexus_state_lines(states, target))
    return 0
