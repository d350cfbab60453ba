"""`omdb nexus sagas list`"""

from __future__ import annotations

from nexus.clients.nexus import SagaSummary, decode_sagas, decode_waiting_sagas, list_sagas, list_waiting_sagas
from omdb.commands.nexus.saga_notes import note_in_memory_only, saga_nexus
from omdb.errors import OmdbError
from omdb.nexus_connection import NexusRefused
from omdb.render.sagas import saga_table
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.nexus_connection import NexusConnection

PAGE_SIZE = 1_000
"""Ten times what a server gives of itself: a long list is a matter of round trips."""


def list_(*, session: Session) -> int:
    """Print the sagas that a Nexus holds in memory, and their states, by id.

    Each Nexus has its own: those that it has run since it started, and those that it recovered then.
    """
    nexus = saga_nexus(session)
    note_in_memory_only(session)
    sagas: list[SagaSummary] = []
    unreadable = 0
    page_token: str | None = None
    while True:
        page = nexus.fetch(list_sagas(limit=PAGE_SIZE, page_token=page_token), decode_sagas)
        for item in page.items:
            if isinstance(item, SagaSummary):
                sagas.append(item)
            else:
                unreadable += 1
                session.note(f"warning: not a saga ({item.reason}): {item.text}")
        if page.next_page is None:
            break
        if page.next_page == page_token:
            raise OmdbError(f"listing sagas does not end: the page after {page_token} is that page again")
        page_token = page.next_page
    session.print(saga_table(sagas))
    if any(saga.state == "running" for saga in sagas):
        _note_waiting(session, nexus)
    return 1 if unreadable else 0


def _note_waiting(session: Session, nexus: NexusConnection) -> None:
    """Sagas that do not go on are running, too: upstream's states have no other word. Nor has upstream's Nexus this
    request.
    """
    try:
        waiting = nexus.fetch(list_waiting_sagas(), decode_waiting_sagas)
    except NexusRefused:
        return
    if waiting:
        session.note(
            f"WARN: of the running ones, {len(waiting)} cannot go on in this Nexus; "
            f"`omdb nexus sagas show {waiting[0]}` tells what it waits for"
        )
