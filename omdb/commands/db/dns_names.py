"""`omdb db dns names`"""

from __future__ import annotations

from typing import Literal

from nexus.db.dns_reads import find_version, list_names, list_zones
from omdb.errors import OmdbError
from omdb.render.stored_dns import name_lines
from omdb.session import Session


def names(group: Literal["internal", "external"], version: int, /, *, session: Session) -> int:
    """Print all that DNS says as of a version.

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
        if find_version(connection, group, version) is None:
            raise OmdbError(f"no such DNS version: {version}")
        for zone in list_zones(connection, group):
            found = list_names(connection, zone, version, limit=limit)
            session.note_limit("loading names", found=len(found))
            session.print(name_lines(zone, found, group=group))
    return 0
