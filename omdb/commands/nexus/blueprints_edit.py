"""`omdb nexus blueprints edit`"""

from __future__ import annotations

import re
from uuid import UUID

from dropshot.address import SocketAddr
from nexus.clients.deployment import decode_blueprint, edit_blueprint
from nexus.clients.nexus import ping
from nexus.deployment.edits import AddNexusZone, BumpNexusGeneration, ExpungeZone, MarkReadyForCleanup
from nexus.ids import NexusId
from omdb.commands.nexus.blueprints import BlueprintReference, fetch_blueprint
from omdb.errors import OmdbError, UsageError
from omdb.http_connection import HttpConnection, NothingListens
from omdb.render.text import printable
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session
from omdb.urls import parse_base_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.edits import Edit
    from omdb.nexus_connection import NexusConnection

_EDITS = ("expunge-zone", "mark-for-cleanup", "add-nexus", "bump-nexus-generation")

SHORTEST_ID = 4
"""Characters of a zone's id that stand for it."""

PING_TIMEOUT_S = 1.0

_STILL_THERE = """\
WARNING: Nexus {} {} {}.
Once a target blueprint has it expunged, that is final: others take over its sagas,
and it never comes back."""

_THERE_ALL_THE_SAME = """\
WARNING: Nexus {} {} {}, though --ready-for-cleanup says that it runs no more.
Once a target blueprint has it expunged, that is final: others take over its sagas.
No sled agent stops it then: it may go on beside them, though it can write nothing of those sagas."""


def edit(
    parent: str,
    edit: str,
    zone: str | None = None,
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
        A zone id, for a Nexus the id of that. Of a zone that is there the first 4 characters will do, or more.
    ready_for_cleanup
        With expunge-zone: you made sure that the zone does not run any more.
    internal_address
        With add-nexus: where its internal API will listen, as [::1]:PORT.
    next_generation
        With add-nexus: it is of the next generation, and waits until that takes over.
    comment
        What the child is for. Without it, what was changed.
    set_target
        Make the child the target, enabled if the target is. PARENT must be the target.
    """
    reference = BlueprintReference.parse("PARENT", parent)
    _check_options(
        edit,
        {
            "--ready-for-cleanup": (ready_for_cleanup, "expunge-zone"),
            "--internal-address": (internal_address is not None, "add-nexus"),
            "--next-generation": (next_generation, "add-nexus"),
        },
    )
    zone_id = _zone_argument(edit, zone)
    address = _address_option(edit, internal_address)
    nexus = session.nexus()
    token = check_destructive(session.settings)
    wanted: Edit
    match edit:
        case "bump-nexus-generation":
            wanted = BumpNexusGeneration()
        case "add-nexus":
            wanted = AddNexusZone(NexusId(UUID(zone_id)), str(address), next_generation=next_generation)
        case _:
            blueprint = fetch_blueprint(nexus, reference.resolve(nexus))
            found = _find_zone(blueprint, zone_id)
            if edit == "mark-for-cleanup":
                wanted = MarkReadyForCleanup(found)
            else:
                warning = _THERE_ALL_THE_SAME if ready_for_cleanup else _STILL_THERE
                _warn_if_it_is_there(session, blueprint, found, warning)
                wanted = ExpungeZone(found, ready_for_cleanup)
    made = _make(nexus, reference, wanted, token, comment=comment, set_target=set_target)
    session.note(f"generated new blueprint {made.id}")
    if set_target:
        session.note(f"set target blueprint to {made.id}")
    return 0


def _check_options(edit: str, options: dict[str, tuple[bool, str]]) -> None:
    """`options` says of each whether it was given, and for which edit it is."""
    if edit not in _EDITS:
        raise UsageError(f'Invalid value "{printable(edit)}" for EDIT: not one of {", ".join(_EDITS)}.')
    for option, (is_given, belongs_to) in options.items():
        if is_given and edit != belongs_to:
            raise UsageError(f"Option {option} is for {belongs_to}, not for {edit}.")


def _zone_argument(edit: str, zone: str | None) -> str:
    """Its id, or the start of it, in lower case; empty where the edit is of no zone."""
    if edit == "bump-nexus-generation":
        if zone is not None:
            raise UsageError(f'Unexpected argument "{printable(zone)}": {edit} is for the whole blueprint.')
        return ""
    if zone is None:
        raise UsageError(f"Missing argument ZONE for {edit}.")
    try:
        return str(UUID(zone))
    except ValueError:
        if edit == "add-nexus":
            raise UsageError(f'Invalid value "{printable(zone)}" for ZONE: not a UUID.') from None
    if re.fullmatch(rf"[0-9a-fA-F-]{{{SHORTEST_ID},36}}", zone) is None:
        raise UsageError(
            f'Invalid value "{printable(zone)}" for ZONE: neither a UUID nor the first {SHORTEST_ID} characters of one'
            " or more."
        )
    return zone.lower()


def _address_option(edit: str, internal_address: str | None) -> SocketAddr | None:
    if edit != "add-nexus":
        return None
    if internal_address is None:
        raise UsageError("Missing option --internal-address for add-nexus.")
    try:
        return SocketAddr.parse(internal_address)
    except ValueError as error:
        raise UsageError(f'Invalid value "{printable(internal_address)}" for --internal-address: {error}.') from None


def _find_zone(blueprint: Blueprint, start: str) -> NexusId:
    matching = [zone.id for _, zone in blueprint.zones() if str(zone.id).startswith(start)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise OmdbError(f"{start} is the start of more than one zone id: {', '.join(map(str, matching))}")
    zones = ", ".join(str(zone.id) for _, zone in blueprint.zones())
    raise OmdbError(f"blueprint {blueprint.id} has no zone {start}; its zones are {zones}")


def _warn_if_it_is_there(session: Session, blueprint: Blueprint, zone_id: NexusId, warning: str) -> None:
    found = blueprint.find_zone(zone_id)
    assert found is not None, "it was found there"
    address = found[1].address
    request = ping()
    connection = HttpConnection(parse_base_url(f"http://{address}"), log=session.log, timeout_s=PING_TIMEOUT_S)
    try:
        connection.exchange(request.method, request.path)
    except NothingListens:
        return
    except OmdbError:
        session.warn(warning.format(zone_id, "does not answer, but something listens at", address))
    else:
        session.warn(warning.format(zone_id, "still answers at", address))
    finally:
        connection.close()


def _make(
    nexus: NexusConnection,
    parent: BlueprintReference,
    edit: Edit,
    _: DestructiveToken,
    *,
    comment: str | None,
    set_target: bool,
) -> Blueprint:
    return nexus.fetch(edit_blueprint(parent.id, [edit], comment=comment, set_target=set_target), decode_blueprint)
