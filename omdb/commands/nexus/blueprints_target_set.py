"""`omdb nexus blueprints target set`"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from nexus.deployment.diff import diff as diff_blueprints
from nexus.ids import BlueprintId
from omdb.commands.nexus.blueprints import fetch_blueprint, fetch_target, make_target
from omdb.render.blueprints import diff_lines
from omdb.safety import check_destructive, confirm
from omdb.session import Session


def set_(
    blueprint_id: UUID, enabled: Literal["enabled", "disabled", "inherit"], /, *, diff: bool = False, session: Session
) -> int:
    """Make a blueprint the target. It must be a child of the target.

    This changes the state of Nexus and needs -w.

    Parameters
    ----------
    blueprint_id
        The blueprint.
    enabled
        Whether it is to be executed; inherit: if the target is.
    diff
        Print what changes from the target to it, and ask.
    """
    nexus = session.nexus()
    token = check_destructive(session.settings)
    target_id = BlueprintId(blueprint_id)
    current = fetch_target(nexus) if diff or enabled == "inherit" else None
    if diff and current is not None:
        before, after = fetch_blueprint(nexus, current.target_id), fetch_blueprint(nexus, target_id)
        session.print(diff_lines(diff_blueprints(before, after)))
        session.note(f"\nDo you want to make {target_id} the target blueprint?")
        confirm(session)
    inherited = current is not None and current.enabled
    make_target(session, nexus, target_id, token, enabled=inherited if enabled == "inherit" else enabled == "enabled")
    return 0
