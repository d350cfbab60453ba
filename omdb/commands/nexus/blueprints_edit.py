"""`omdb nexus blueprints edit`"""

from __future__ import annotations

from uuid import UUID

from nexus.clients.deployment import decode_blueprint, edit_blueprint
from nexus.clients.nexus import ping
from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone, MarkReadyForCleanup
from nexus.ids import NexusId
from omdb.commands.nexus.blueprints import BlueprintReference, fetch_target, make_target
from omdb.errors import OmdbError, UsageError
from omdb.http_connection import HttpConnection
from omdb.render.text import printable
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session
from omdb.urls import parse_base_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.edits import Edit
    from nexus.ids import BlueprintId
    from omdb.nexus_connection import NexusConnection

_WITH_ZONE = ("expunge-zone", "mark-for-cleanup")
_ALONE = ("bump-nexus-generation",)

PING_TIMEOUT_S = 2.0

_STILL_ANSWERS = """\
WARNING: Nexus {} still answers at {}.
Once a target blueprint has it expunged, that is final: others take over its sagas,
and it never comes back."""


def edit(
    parent: str,
    edit: str,
    zone: UUID | None = None,
    /,
    *,
    ready_for_cleanup: bool = False,
    comment: str | None = None,
    set_target: bool = False,
    session: Session,
) -> int:
    """Make a child of a blueprint, with one thing changed.

    It does not become the target, unless that is asked for; only a child of the target can. This changes the state of
    Nexus and needs -w.

    Parameters
    ----------
    parent
        A blueprint id, or target, current or current-target.
    edit
        expunge-zone ZONE: the zone is gone for good. mark-for-cleanup ZONE: an expunged zone is known not to run any
        more. bump-nexus-generation: the Nexuses of the next generation take over.
    zone
        A zone id, for a Nexus the id of that.
    ready_for_cleanup
        With expunge-zone: you made sure that the zone does not run any more.
    comment
        What the child is for. Without it, what was changed.
    set_target
        Make the child the target, enabled if the target is.
    """
    reference = BlueprintReference.parse("PARENT", parent)
    wanted = _edit(edit, zone, ready_for_cleanup=ready_for_cleanup)
    nexus = session.nexus()
    token = check_destructive(session.settings)
    made = _make(nexus, reference.resolve(nexus), wanted, token, comment=comment)
    session.note(f"generated new blueprint {made.id}")
    if isinstance(wanted, ExpungeZone):
        _warn_if_it_answers(session, made, wanted.zone_id)
    if set_target:
        make_target(session, nexus, made.id, token, enabled=fetch_target(nexus).enabled)
    return 0


def _edit(edit: str, zone: UUID | None, *, ready_for_cleanup: bool) -> Edit:
    if edit not in _WITH_ZONE + _ALONE:
        names = ", ".join((*_WITH_ZONE, *_ALONE))
        raise UsageError(f'Invalid value "{printable(edit)}" for EDIT: not one of {names}.')
    if ready_for_cleanup and edit != "expunge-zone":
        raise UsageError(f"Option --ready-for-cleanup is for expunge-zone, not for {edit}.")
    if edit in _ALONE:
        if zone is not None:
            raise UsageError(f'Unexpected argument "{zone}": {edit} is for the whole blueprint.')
        return BumpNexusGeneration()
    if zone is None:
        raise UsageError(f"Missing argument ZONE for {edit}.")
    zone_id = NexusId(zone)
    return ExpungeZone(zone_id, ready_for_cleanup) if edit == "expunge-zone" else MarkReadyForCleanup(zone_id)


def _warn_if_it_answers(session: Session, made: Blueprint, zone_id: NexusId) -> None:
    found = made.find_zone(zone_id)
    if found is None:
        return
    address = found[1].address
    request = ping()
    connection = HttpConnection(parse_base_url(f"http://{address}"), log=session.log, timeout_s=PING_TIMEOUT_S)
    try:
        connection.exchange(request.method, request.path)
    except OmdbError:
        return
    finally:
        connection.close()
    session.warn(_STILL_ANSWERS.format(zone_id, address))


def _make(
    nexus: NexusConnection, parent_id: BlueprintId, edit: Edit, _: DestructiveToken, *, comment: str | None
) -> Blueprint:
    return nexus.fetch(edit_blueprint(parent_id, [edit], comment=comment), decode_blueprint)
