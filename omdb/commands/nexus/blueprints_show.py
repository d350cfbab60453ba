"""`omdb nexus blueprints show`"""

from __future__ import annotations

from omdb.commands.nexus.blueprints import BlueprintReference, fetch_blueprint
from omdb.render.blueprints import blueprint_lines
from omdb.session import Session


def show(blueprint: str, /, *, session: Session) -> int:
    """Print what is in a blueprint.

    Parameters
    ----------
    blueprint
        A blueprint id, or target, current or current-target.
    """
    reference = BlueprintReference.parse("BLUEPRINT", blueprint)
    nexus = session.nexus()
    session.print(blueprint_lines(fetch_blueprint(nexus, reference.resolve(nexus))))
    return 0
