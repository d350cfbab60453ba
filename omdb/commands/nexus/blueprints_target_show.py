"""`omdb nexus blueprints target show`"""

from __future__ import annotations

from omdb.commands.nexus.blueprints import fetch_target
from omdb.render.blueprints import target_lines
from omdb.session import Session


def show(*, session: Session) -> int:
    """Print which blueprint is the target, since when, and whether it is enabled."""
    session.print(target_lines(fetch_target(session.nexus())))
    return 0
