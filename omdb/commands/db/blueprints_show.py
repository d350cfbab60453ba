"""`omdb db blueprints show`"""

from __future__ import annotations

from uuid import UUID

from nexus.db.deployment_reads import find_blueprint
from nexus.ids import BlueprintId
from omdb.errors import OmdbError
from omdb.render.blueprints import blueprint_lines
from omdb.session import Session


def show(blueprint_id: UUID, /, *, session: Session) -> int:
    """Print what is in a blueprint.

    Parameters
    ----------
    blueprint_id
        A blueprint id that `list` prints.
    """
    database = session.database()
    with database.reading() as connection:
        blueprint = find_blueprint(connection, BlueprintId(blueprint_id))
    if blueprint is None:
        raise OmdbError(f"there is no blueprint {blueprint_id} in the database at {database.address}")
    session.print(blueprint_lines(blueprint))
    return 0
