"""`omdb nexus blueprints edit`"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dropshot.address import SocketAddr
from nexus.clients.deployment import decode_blueprint, edit_blueprint
from nexus.clients.nexus import ping
from nexus.deployment.edits import (
    AddNexusZone,
    BumpNexusGeneration,
    EditRefused,
    ExpungeZone,
    MarkReadyForCleanup,
)
from nexus.deployment.own_zone import new_zone
from nexus.ids import NexusId
from omdb.commands.nexus.blueprints import BlueprintReference, fetch_blueprint, fetch_target, make_target
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

_WITH_ZONE = ("expunge-zone", "mark-for-cleanup", "add-nexus")
_ALONE = ("bump-nexus-generation",)

_LOOPBACK = "127.0.0.1"
"""Where Nexuses are that share an external address; each is told apart in DNS by another one."""

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
    internal_address: str | None = None,
    next_generation: bool = False,
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
        more. add-nexus ZONE: a Nexus of that id, which you will start, is in service. bump-nexus-generation: the
        Nexuses of the next generation take over.
    zone
        A zone id, for a Nexus the id of that.
    ready_for_cleanup
        With expunge-zone: you made sure that the zone does not run any more.
    internal_address
        With add-nexus: where its internal API will listen, as [::1]:PORT.
    next_generation
        With add-nexus: it is of the next generation, and waits until that takes over.
    comment
        What the child is for. Without it, what was changed.
    set_target
        Make the child the target, enabled if the target is.
    """
    reference = BlueprintReference.parse("PARENT", parent)
    wanted = _wanted(
        edit,
        zone,
        ready_for_cleanup=ready_for_cleanup,
        internal_address=internal_address,
        next_generation=next_generation,
    )
    nexus = session.nexus()
    token = check_destructive(session.settings)
    parent_id = reference.resolve(nexus)
    if isinstance(wanted, _NewNexus):
        wanted = wanted.put_in(fetch_blueprint(nexus, parent_id))
    made = _make(nexus, parent_id, wanted, token, comment=comment)
    session.note(f"generated new blueprint {made.id}")
    if isinstance(wanted, ExpungeZone):
        _warn_if_it_answers(session, made, wanted.zone_id)
    if set_target:
        make_target(session, nexus, made.id, token, enabled=fetch_target(nexus).enabled)
    return 0


@dataclass(frozen=True, slots=True)
class _NewNexus:
    """Its sled, its external address and its generation depend on the blueprint."""

    id: NexusId
    internal_address: SocketAddr
    next_generation: bool

    def put_in(self, blueprint: Blueprint) -> AddNexusZone:
        try:
            zone = new_zone(blueprint, self.id, internal_address=self.internal_address, external_ip=_LOOPBACK)
        except EditRefused as error:
            raise OmdbError(f"no Nexus can be added to blueprint {blueprint.id}: {error}") from None
        return AddNexusZone(zone, blueprint.nexus_generation + self.next_generation)


def _wanted(
    edit: str,
    zone: UUID | None,
    *,
    ready_for_cleanup: bool,
    internal_address: str | None,
    next_generation: bool,
) -> Edit | _NewNexus:
    if edit not in _WITH_ZONE + _ALONE:
        names = ", ".join((*_WITH_ZONE, *_ALONE))
        raise UsageError(f'Invalid value "{printable(edit)}" for EDIT: not one of {names}.')
    given = {
        "--ready-for-cleanup": (ready_for_cleanup, "expunge-zone"),
        "--internal-address": (internal_address is not None, "add-nexus"),
        "--next-generation": (next_generation, "add-nexus"),
    }
    for option, (is_given, belongs_to) in given.items():
        if is_given and edit != belongs_to:
            raise UsageError(f"Option {option} is for {belongs_to}, not for {edit}.")
    if edit in _ALONE:
        if zone is not None:
            raise UsageError(f'Unexpected argument "{zone}": {edit} is for the whole blueprint.')
        return BumpNexusGeneration()
    if zone is None:
        raise UsageError(f"Missing argument ZONE for {edit}.")
    zone_id = NexusId(zone)
    if edit == "expunge-zone":
        return ExpungeZone(zone_id, ready_for_cleanup)
    if edit == "mark-for-cleanup":
        return MarkReadyForCleanup(zone_id)
    if internal_address is None:
        raise UsageError("Missing option --internal-address for add-nexus.")
    try:
        address = SocketAddr.parse(internal_address)
    except ValueError as error:
        raise UsageError(f'Invalid value "{printable(internal_address)}" for --internal-address: {error}.') from None
    return _NewNexus(zone_id, address, next_generation)


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
