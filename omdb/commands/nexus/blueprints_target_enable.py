"""`omdb nexus blueprints target enable`"""

from __future__ import annotations

from omdb.commands.nexus.blueprints import switch_target
from omdb.session import Session


def enable(blueprint: str, /, *, session: Session) -> int:
    """Have the target executed.

    This changes the state of Nexus and needs -w.

    Parameters
    ----------
    blueprint
        The id of the target, or target, current or current-target.
    """
    return switch_target(session, "BLUEPRINT", blueprint, enabled=True)
