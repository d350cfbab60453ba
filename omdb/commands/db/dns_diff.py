"""`omdb db dns diff`"""

from __future__ import annotations

from typing import Literal

from nexus.db.dns_reads import find_version, list_added, list_removed, list_zones
from omdb.errors import OmdbError
from omdb.render.stored_dns import change_lines
from omdb.session import Session


def diff(group: Literal["internal", "external"], version: int, /, *, session: Session) -> int:
    """Print what a version of DNS changed.

    Parameters
    ----------
    group
        internal or external.
    version
        A version, as `show` prints the newest.
    """
    limit = session.fetch_limit()
    database = session.database()
    with database.reading() as connection:
        found = find_version(connection, group, version)
        if found is None:
            raise OmdbError(f"no such DNS version: {version}")
        for zone in list_zones(connection, group):
            added = list_added(connection, zone, version, limit=limit)
            removed = list_removed(connection, zone, version, limit=limit)
            session.note_limit("loading names added", found=len(added))
            session.note_limit("loading names removed", found=len(removed))
            session.print(change_lines(zone, found, group=group, added=added, removed=removed))
    return 0
