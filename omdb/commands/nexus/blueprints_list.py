"""`omdb nexus blueprints list`"""

from __future__ import annotations

from omdb.commands.nexus.blueprints import fetch_all, fetch_target
from omdb.nexus_connection import NexusRefused
from omdb.render.blueprints import blueprint_table
from omdb.session import Session


def list_(*, session: Session) -> int:
    """Print all blueprints, by the time when they were made.

    The target has a star, and whether it is enabled: whether it is to be executed.
    """
    nexus = session.nexus()
    try:
        target = fetch_target(nexus)
    except NexusRefused as error:
        session.note(f"warn: failed to fetch current target: {error}")
        target = None
    blueprints, complete = fetch_all(nexus, session)
    session.print(blueprint_table(blueprints, target))
    return 0 if complete else 1
