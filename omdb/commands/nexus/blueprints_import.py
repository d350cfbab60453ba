"""`omdb nexus blueprints import`"""

from __future__ import annotations

from pathlib import Path

import msgspec

from nexus.clients.deployment import decode_blueprint, import_blueprint
from nexus.clients.nexus import UnexpectedAnswer
from omdb.errors import OmdbError, reason
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint
    from omdb.nexus_connection import NexusConnection


def import_(file: Path, /, *, session: Session) -> int:
    """Store a blueprint that is in a file, as JSON.

    It does not become the target. This changes the state of Nexus and needs -w.

    Parameters
    ----------
    file
        What the internal API shows of a blueprint; one of those in an export of `omdb reconfigurator export`, too.
    """
    nexus = session.nexus()
    token = check_destructive(session.settings)
    blueprint = _read(file)
    _import(nexus, blueprint, token)
    session.note(f"uploaded new blueprint {blueprint.id}")
    return 0


class _Export(msgspec.Struct):
    """What tells an export from a blueprint."""

    blueprints: list[msgspec.Raw]
    planning_input: msgspec.Raw


def _read(file: Path) -> Blueprint:
    try:
        contents = file.read_bytes()
    except OSError as error:
        raise OmdbError(f"cannot read {file}: {reason(error)}") from None
    try:
        return decode_blueprint(contents)
    except UnexpectedAnswer as error:
        if _is_export(contents):
            raise OmdbError(
                f"{file} is a whole export, as of `omdb reconfigurator export`; what can be imported is one of its"
                " `blueprints`, in a file of its own"
            ) from None
        raise OmdbError(f"{file} holds no blueprint: {error}") from None


def _is_export(contents: bytes) -> bool:
    try:
        msgspec.json.decode(contents, type=_Export)
    except msgspec.DecodeError:
        return False
    return True


def _import(nexus: NexusConnection, blueprint: Blueprint, _: DestructiveToken) -> None:
    nexus.call(import_blueprint(blueprint))
