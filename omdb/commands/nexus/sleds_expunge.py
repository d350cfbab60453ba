"""`omdb nexus sleds expunge`"""

from __future__ import annotations

from uuid import UUID

from nexus.clients.deployment import decode_config, decode_sled_policy, expunge_sled, view_config
from nexus.db.deployment_reads import find_sled
from nexus.ids import SledId
from omdb.errors import OmdbError
from omdb.nexus_connection import NexusRefused
from omdb.render.sleds import rust_policy
from omdb.safety import DestructiveToken, check_destructive, confirm
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.deployment.sleds import SledPolicy
    from omdb.nexus_connection import NexusConnection

_WARNING = """\
WARNING: There is no inventory, so nobody can tell whether the sled is still
there.  To expunge one that still runs is dangerous.

WARNING: To expunge a sled is for ever.  The next blueprint that is planned
expunges every zone on it, and other Nexuses take over the sagas of those there.

To go on, type the serial number of the sled."""

_PLANNER_ON = """\
note: the planner is on, and looks now what follows from that.  What came of it:
    omdb nexus background-tasks show blueprint_planner"""

_PLANNER_OFF = """\
note: the planner is off, so nothing follows from that by itself.  Next:
    omdb -w nexus blueprints regenerate
    omdb -w nexus blueprints target set BLUEPRINT inherit"""


def expunge(sled: UUID, /, *, session: Session) -> int:
    """Declare that a sled is gone for good.

    Its zones are expunged by the next blueprint that is planned. It says who plans that: the planner, if it is on, or
    you. This changes the state of Nexus and needs -w. It asks before it does, and needs the database for that.

    Parameters
    ----------
    sled
        A sled id, as `omdb db sleds` prints it.
    """
    sled_id = SledId(sled)
    nexus = session.nexus()
    token = check_destructive(session.settings)
    database = session.database()
    with database.reading() as connection:
        found = find_sled(connection, sled_id)
    if found is None:
        raise OmdbError(f"there is no sled {sled_id} in the database at {database.address}")
    session.warn(_WARNING)
    confirm(session, "sled serial number", expected=found.serial_number)
    previous = _expunge(nexus, sled_id, token)
    session.note(f"expunged sled {sled_id} (previous policy: {rust_policy(previous)})")
    session.note(_what_now(nexus))
    return 0


def _what_now(nexus: NexusConnection) -> str:
    try:
        return _PLANNER_ON if _planner_is_on(nexus) else _PLANNER_OFF
    except OmdbError as error:
        return f"note: whether the planner is on cannot be told: {error}"


def _planner_is_on(nexus: NexusConnection) -> bool:
    """It is not where it was never configured."""
    try:
        return nexus.fetch(view_config(None), decode_config).config.planner_enabled
    except NexusRefused as error:
        if error.status != 404:
            raise
        return False


def _expunge(nexus: NexusConnection, sled_id: SledId, _: DestructiveToken) -> SledPolicy:
    return nexus.fetch(expunge_sled(sled_id), decode_sled_policy)
