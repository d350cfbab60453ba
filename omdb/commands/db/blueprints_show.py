"""`omdb db blueprints show`"""

from __future__ import annotations

from nexus.db.deployment_reads import find_blueprint
from omdb.commands.blueprint_reference import parse_blueprint_reference
from omdb.commands.db.recorded_target import read_target_blueprint
from omdb.errors import OmdbError
from omdb.render.blueprints import blueprint_lines
from omdb.session import Session


def show(blueprint: str, /, *, session: Session) -> int:
    """Print what is in a blueprint.

    Parameters
    ----------
    blueprint
        A blueprint id that `list` prints, or target, current or current-target.
    """
    wanted = parse_blueprint_reference("BLUEPRINT", blueprint)
    database = session.database()
    with database.reading() as connection:
        found = read_target_blueprint(connection) if wanted is None else find_blueprint(connection, wanted)
    if found is None:
        raise OmdbError(f"there is no blueprint {wanted} in the database at {database.address}")
    session.print(blueprint_lines(found))
    return 0
