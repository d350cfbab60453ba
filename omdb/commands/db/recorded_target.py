"""The target blueprint that the database has, for the commands about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.deployment_reads import find_blueprint, list_targets
from omdb.errors import OmdbError

if TYPE_CHECKING:
    from psycopg import Connection

    from nexus.deployment.blueprint import Blueprint, BlueprintTarget


def find_target(connection: Connection) -> BlueprintTarget | None:
    return next((record.target for record in list_targets(connection, limit=1)), None)


def read_target_blueprint(connection: Connection) -> Blueprint:
    """Raises OmdbError."""
    target = find_target(connection)
    if target is None:
        raise OmdbError("no blueprint is the target: the rack is not initialized")
    blueprint = find_blueprint(connection, target.target_id)
    if blueprint is None:
        raise OmdbError(f"blueprint {target.target_id} is the target and is not there")
    return blueprint
