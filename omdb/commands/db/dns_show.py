"""`omdb db dns show`"""

from __future__ import annotations

from nexus.db.dns_reads import list_newest_versions
from omdb.render.stored_dns import version_table
from omdb.session import Session


def show(*, session: Session) -> int:
    """Print the newest version of internal and of external DNS."""
    database = session.database()
    with database.reading() as connection:
        versions = list_newest_versions(connection)
    session.print(version_table(versions))
    return 0
