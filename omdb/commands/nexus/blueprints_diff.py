"""`omdb nexus blueprints diff`"""

from __future__ import annotations

from nexus.deployment.diff import diff as diff_blueprints
from omdb.commands.nexus.blueprints import BlueprintReference, fetch_blueprint
from omdb.errors import OmdbError
from omdb.render.blueprints import diff_lines
from omdb.session import Session


def diff(blueprint1: str, blueprint2: str | None = None, /, *, exit_code: bool = False, session: Session) -> int:
    """Print what changes from one blueprint to another; of one alone, from its parent to it.

    Parameters
    ----------
    blueprint1
        A blueprint id, or target, current or current-target.
    blueprint2
        Another one.
    exit_code
        Exit with 1 if there are changes.
    """
    first = BlueprintReference.parse("BLUEPRINT1", blueprint1)
    second = None if blueprint2 is None else BlueprintReference.parse("BLUEPRINT2", blueprint2)
    nexus = session.nexus()
    one = fetch_blueprint(nexus, first.resolve(nexus))
    if second is not None:
        before, after = one, fetch_blueprint(nexus, second.resolve(nexus))
    elif one.parent_blueprint_id is not None:
        before, after = fetch_blueprint(nexus, one.parent_blueprint_id), one
    else:
        raise OmdbError("`blueprint2_id` was not specified and blueprint1 has no parent")
    found = diff_blueprints(before, after)
    session.print(diff_lines(found))
    return 1 if exit_code and found.has_changes else 0
