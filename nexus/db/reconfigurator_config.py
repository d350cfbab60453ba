"""The reconfigurator's configuration: a history, whose last row is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.config import ReconfiguratorConfig, ReconfiguratorConfigParam, ReconfiguratorConfigView
from nexus.errors import InvalidRequest

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection

COLUMNS = "version, planner_enabled, tuf_repo_pruner_enabled, disruption_policy, time_modified"


async def find_newest_config(connection: Connection) -> ReconfiguratorConfigView | None:
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM reconfigurator_config ORDER BY version DESC LIMIT 1".encode()
    )
    row = await cursor.fetchone()
    return None if row is None else _view(*row)


async def find_config(connection: Connection, version: int) -> ReconfiguratorConfigView | None:
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM reconfigurator_config WHERE version = %s".encode(), (version,)
    )
    row = await cursor.fetchone()
    return None if row is None else _view(*row)


async def insert_config(connection: Connection, wanted: ReconfiguratorConfigParam, *, now: datetime) -> None:
    """Raises InvalidRequest unless the version is the one after the newest. Run again after a commit whose answer was
    lost, it finds its own row, be it that another came after it.
    """
    if wanted.version == 0:
        raise InvalidRequest("version must be greater than 0")
    inserted = await connection.execute(
        """
        INSERT INTO reconfigurator_config
            (version, planner_enabled, tuf_repo_pruner_enabled, disruption_policy, time_modified)
        SELECT %(version)s, %(planner_enabled)s, %(tuf_repo_pruner_enabled)s, %(disruption_policy)s, %(now)s
        WHERE %(version)s = (SELECT coalesce(max(version), 0) + 1 FROM reconfigurator_config)
        ON CONFLICT (version) DO NOTHING
        """,
        {
            "version": wanted.version,
            "planner_enabled": wanted.config.planner_enabled,
            "tuf_repo_pruner_enabled": wanted.config.tuf_repo_pruner_enabled,
            "disruption_policy": wanted.config.disruption_policy,
            "now": now,
        },
    )
    own = ReconfiguratorConfigView(wanted.version, wanted.config, now)
    if inserted.rowcount == 0 and await find_config(connection, wanted.version) != own:
        raise InvalidRequest(f"version {wanted.version} is not the most recent")


def _view(
    version: int, planner_enabled: bool, tuf_repo_pruner_enabled: bool, disruption_policy: str, time_modified: datetime
) -> ReconfiguratorConfigView:
    config = ReconfiguratorConfig(
        planner_enabled=planner_enabled,
        tuf_repo_pruner_enabled=tuf_repo_pruner_enabled,
        disruption_policy=disruption_policy,  # type: ignore[arg-type]  # the table admits no other
    )
    return ReconfiguratorConfigView(version, config, time_modified)
