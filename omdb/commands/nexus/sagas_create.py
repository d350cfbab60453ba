"""`omdb nexus sagas create`"""

from __future__ import annotations

import json

from nexus.api.experimental_types import MAX_CREATED_AT_ONCE
from nexus.clients.nexus import create_sagas, decode_created_sagas
from omdb.commands.nexus.saga_notes import saga_nexus
from omdb.errors import UsageError
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.api.experimental_types import CreatedSagas
    from omdb.nexus_connection import NexusConnection


def create(name: str, /, *, params: str | None = None, count: int = 1, session: Session) -> int:
    """Start sagas of a type that `types` lists.

    Prints their ids, once they are in the database and run. This changes the state of Nexus and needs -w.

    Parameters
    ----------
    name
        The name of the saga type.
    params
        The parameters as JSON. Without them, the default ones of the type.
    count
        How many sagas to start, all with these parameters: 1, which is the default, to 10000.
    """
    nexus = saga_nexus(session)
    token = check_destructive(session.settings)
    if count < 1:
        raise UsageError(f"Invalid value {count} for --count: at least 1.")
    if count > MAX_CREATED_AT_ONCE:
        raise UsageError(f"Invalid value {count} for --count: at most {MAX_CREATED_AT_ONCE}.")
    created = _create(nexus, name, params=_json("--params", params), count=count, _=token)
    for saga_id in created.saga_ids:
        session.print_text(f"saga id: {saga_id}")
    return 0


def _json(option: str, text: str | None) -> bytes | None:
    """What is no JSON would break the request around it."""
    if text is None:
        return None
    try:
        json.loads(text)
    except ValueError as error:
        raise UsageError(f"Invalid value for {option}: not JSON: {error}.") from None
    return text.encode()


def _create(
    nexus: NexusConnection, name: str, *, params: bytes | None, count: int, _: DestructiveToken
) -> CreatedSagas:
    return nexus.fetch(create_sagas(name, params=params, count=count), decode_created_sagas)
