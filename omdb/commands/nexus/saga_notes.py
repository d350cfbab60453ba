"""What the `omdb nexus sagas` commands say before they do anything."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.nexus_connection import NexusConnection
    from omdb.session import Session

_PICKED_FROM_DNS = """\
WARNING: No Nexus was named, so one of those in DNS was picked.  Each Nexus has
its own sagas, and the `omdb nexus sagas` commands are normally about those of
one particular Nexus.  Name it with --nexus-internal-url or OMDB_NEXUS_URL."""

_IN_MEMORY_ONLY = """\
NOTE: This command only reads in-memory state from the targeted Nexus instance.
Sagas may be missing if they were run by a different Nexus instance or if they
finished before this Nexus instance last started up."""


def saga_nexus(session: Session) -> NexusConnection:
    """The Nexus of a sagas command, with a warning if nobody named it."""
    nexus = session.nexus()
    if nexus.picked_from_dns:
        session.note(_PICKED_FROM_DNS)
    return nexus


def note_in_memory_only(session: Session) -> None:
    session.note(_IN_MEMORY_ONLY)
