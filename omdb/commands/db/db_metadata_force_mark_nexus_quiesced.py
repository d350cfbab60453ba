"""`omdb db db-metadata force-mark-nexus-quiesced`"""

from __future__ import annotations

from uuid import UUID

from nexus.db.nexus_state_repairs import NotActive, mark_quiesced
from nexus.deployment.nexus_states import goal_state
from nexus.ids import NexusId
from omdb.commands.db.recorded_target import read_target_blueprint
from omdb.errors import OmdbError
from omdb.safety import DestructiveToken, check_destructive, confirm
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.database import Database

_WARNING = """\
WARNING: This does not stop the Nexus, nor its sagas.  The next generation takes
over once no Nexus is active any more, whether this one has sagas left or not.
Do this only if it does not run, and never will."""


def force_mark(
    nexus_id: UUID,
    /,
    *,
    skip_blueprint_validation: bool = False,
    skip_confirmation: bool = False,
    session: Session,
) -> int:
    """Record that a Nexus is quiesced that can do so no more itself.

    It must be one that the target blueprint wants quiesced, because another generation is to be active, or that is
    expunged. This changes the database and needs -w. It asks before it does.

    Parameters
    ----------
    nexus_id
        A Nexus that is active, as `omdb db db-metadata ls-nexus` prints it.
    skip_blueprint_validation
        Do not check what the target blueprint wants.
    skip_confirmation
        Do not ask.
    """
    database = session.database()
    token = check_destructive(session.settings)
    id_ = NexusId(nexus_id)
    if not skip_blueprint_validation:
        _check_blueprint(database, id_)
    session.warn(_WARNING)
    if not skip_confirmation:
        confirm(session)
    _mark(database, id_, token)
    session.note(f"note: Nexus {id_} is recorded as quiesced")
    return 0


def _check_blueprint(database: Database, nexus_id: NexusId) -> None:
    with database.reading() as connection:
        target = read_target_blueprint(connection)
    zone = target.find_zone(nexus_id)
    match goal_state(target, nexus_id):
        case "quiesced":
            return
        case None if zone is not None:
            return  # it is expunged: whoever waits for it may wait for ever
        case None:
            raise OmdbError(f"Nexus {nexus_id} has no zone in the target blueprint, {target.id}")
        case "active" | "not_yet":
            assert zone is not None, "it has a goal"
            raise OmdbError(
                f"Nexus {nexus_id} is of generation {zone[1].zone_type.nexus_generation}, and in the target blueprint,"
                f" {target.id}, the active one is {target.nexus_generation}: it is not to be quiesced"
            )


def _mark(database: Database, nexus_id: NexusId, token: DestructiveToken) -> None:
    try:
        database.write(lambda connection: mark_quiesced(connection, nexus_id), token)
    except NotActive as error:
        raise OmdbError(str(error)) from None
