"""`omdb nexus sleds expunge`"""

from __future__ import annotations

from uuid import UUID

from nexus.clients.deployment import decode_sled_policy, expunge_sled
from nexus.db.deployment_reads import find_sled
from nexus.ids import SledId
from omdb.errors import OmdbError
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


def expunge(sled: UUID, /, *, session: Session) -> int:
    """Declare that a sled is gone for good.

    Its zones are expunged by the next blueprint that is planned: `omdb nexus blueprints regenerate` makes it. This
    changes the state of Nexus and needs -w. It asks before it does, and needs the database for that.

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
    return 0


def _expunge(nexus: NexusConnection, sled_id: SledId, _: DestructiveToken) -> SledPolicy:
    return nexus.fetch(expunge_sled(sled_id), decode_sled_policy)
