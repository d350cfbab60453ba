"""`omdb db sleds`"""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from nexus.db.deployment_reads import list_sleds
from omdb.commands.db.recorded_target import read_target_blueprint
from omdb.render.sleds import sled_table
from omdb.session import Session

Filter = Literal["all", "commissioned", "in-service"]


def sleds(*, filter: Annotated[Filter | None, Parameter(name=("--filter", "-F"))] = None, session: Session) -> int:
    """Print the sleds of the rack, by serial number.

    Parameters
    ----------
    filter
        all; commissioned: those that the target blueprint has not decommissioned; in-service: those whose policy is
        not that they are expunged. Without it: commissioned.
    """
    limit = session.fetch_limit()
    database = session.database()
    if filter is None:
        session.note("note: listing all commissioned sleds (use -F to filter, e.g. -F in-service)")
    with database.reading() as connection:
        found = list_sleds(connection, limit=limit)
        target = read_target_blueprint(connection)
    session.note_limit("listing sleds", found=len(found))
    gone = {sled_id for sled_id, sled in target.sleds.items() if sled.state == "decommissioned"}
    match filter:
        case None | "commissioned":
            found = [sled for sled in found if sled.id not in gone]
        case "in-service":
            found = [sled for sled in found if sled.policy != "expunged"]
    session.print(sled_table(found, target))
    return 0
