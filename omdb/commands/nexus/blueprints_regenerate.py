"""`omdb nexus blueprints regenerate`"""

from __future__ import annotations

from nexus.clients.deployment import decode_blueprint, regenerate_blueprint
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint
    from omdb.nexus_connection import NexusConnection


def regenerate(*, session: Session) -> int:
    """Have the planner make the blueprint that it wants next, from the target.

    It does not become the target. This changes the state of Nexus and needs -w.
    """
    nexus = session.nexus()
    made = _regenerate(nexus, check_destructive(session.settings))
    session.note(f"generated new blueprint {made.id}")
    return 0


def _regenerate(nexus: NexusConnection, _: DestructiveToken) -> Blueprint:
    return nexus.fetch(regenerate_blueprint(), decode_blueprint)
