"""`omdb nexus blueprints delete`"""

from __future__ import annotations

from nexus.clients.deployment import delete_blueprint
from omdb.commands.nexus.blueprints import BlueprintReference
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.ids import BlueprintId
    from omdb.nexus_connection import NexusConnection


def delete(blueprint: str, /, *, session: Session) -> int:
    """Delete a blueprint, which must not be the target.

    This changes the state of Nexus and needs -w.

    Parameters
    ----------
    blueprint
        A blueprint id.
    """
    reference = BlueprintReference.parse("BLUEPRINT", blueprint)
    nexus = session.nexus()
    token = check_destructive(session.settings)
    blueprint_id = reference.resolve(nexus)
    _delete(nexus, blueprint_id, token)
    session.print_text(f"blueprint {blueprint_id} deleted")
    return 0


def _delete(nexus: NexusConnection, blueprint_id: BlueprintId, _: DestructiveToken) -> None:
    nexus.call(delete_blueprint(blueprint_id))
