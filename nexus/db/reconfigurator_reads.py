"""All that `omdb reconfigurator export` saves, read from the database: read-only.

For omdb, on a plain psycopg connection, as `nexus.db.saga_reads`. Call it inside one transaction of a fixed snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus.db.deployment_reads import list_sleds, list_targets
from nexus.db.dns_reads import find_newest_version, list_names, list_zones
from nexus.deployment.config import ReconfiguratorConfig, ReconfiguratorConfigView
from nexus.deployment.reconfigurator_state import BaseboardId, PlanningInput, ReconfiguratorState, SledDetails
from nexus.deployment.sleds import POLICIES
from nexus.dns_types import DnsConfigParams, DnsConfigZone

if TYPE_CHECKING:
    from psycopg import Connection

    from nexus.dns_types import DnsGroup

NEWEST_BLUEPRINTS = "SELECT contents::text FROM blueprint ORDER BY time_created DESC, id LIMIT %s"

NEWEST_CONFIG = """
SELECT version, planner_enabled, tuf_repo_pruner_enabled, disruption_policy, time_modified
FROM reconfigurator_config ORDER BY version DESC LIMIT 1
"""

SILO_NAMES = "SELECT name FROM silo ORDER BY name"


def read_reconfigurator_state(connection: Connection, *, max_blueprints: int) -> ReconfiguratorState:
    """Raises UnreadableRecord for DNS records that are none."""
    internal_dns = _read_dns(connection, "internal")
    external_dns = _read_dns(connection, "external")
    return ReconfiguratorState(
        planning_input=PlanningInput(
            internal_dns_version=max(internal_dns, default=None),
            external_dns_version=max(external_dns, default=None),
            sleds={
                sled.id: SledDetails(POLICIES[sled.policy], BaseboardId(sled.part_number, sled.serial_number))
                for sled in list_sleds(connection, limit=None)
            },
        ),
        target_blueprint=next((record.target for record in list_targets(connection, limit=1)), None),
        blueprints=tuple(
            msgspec.Raw(contents) for (contents,) in connection.execute(NEWEST_BLUEPRINTS, (max_blueprints,)).fetchall()
        ),
        reconfigurator_config=_read_config(connection),
        internal_dns=internal_dns,
        external_dns=external_dns,
        silo_names=tuple(name for (name,) in connection.execute(SILO_NAMES).fetchall()),
        external_dns_zone_names=tuple(zone.name for zone in list_zones(connection, "external")),
    )


def _read_dns(connection: Connection, group: DnsGroup) -> dict[int, DnsConfigParams]:
    newest = find_newest_version(connection, group)
    if newest is None:
        return {}
    zones = tuple(
        DnsConfigZone(zone.name, dict(list_names(connection, zone, newest.version, limit=None)))
        for zone in list_zones(connection, group)
    )
    return {newest.version: DnsConfigParams(newest.version, newest.version, newest.time_created, zones)}


def _read_config(connection: Connection) -> ReconfiguratorConfigView | None:
    row = connection.execute(NEWEST_CONFIG).fetchone()
    if row is None:
        return None
    version, planner_enabled, tuf_repo_pruner_enabled, disruption_policy, time_modified = row
    config = ReconfiguratorConfig(
        planner_enabled=planner_enabled,
        tuf_repo_pruner_enabled=tuf_repo_pruner_enabled,
        disruption_policy=disruption_policy,
    )
    return ReconfiguratorConfigView(version, config, time_modified)
