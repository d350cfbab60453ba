"""The rack: whether it is initialized, and the one transaction that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from nexus.db.blueprint_target import insert_first_target
from nexus.db.dns_changes import insert_dns_names, insert_dns_version, insert_dns_zone
from nexus.db.nexus_states import insert_nexus_states
from nexus.db.reconfigurator_config import insert_config
from nexus.db.silos import insert_silo, insert_user
from nexus.db.sleds import insert_sleds
from nexus.deployment.config import INITIAL_CONFIG, ReconfiguratorConfigParam
from nexus.deployment.initial import initial_blueprint
from nexus.errors import Conflict
from nexus.ids import BlueprintId, RackId
from nexus.nexus_records import external_records

if TYPE_CHECKING:
    from datetime import datetime

    from nexus.db.connection import Connection
    from nexus.ids import NexusId
    from nexus.rack import RackInitialization


FIRST_INTERNAL_DNS_VERSION = 1
FIRST_EXTERNAL_DNS_VERSION = 1
SILO_EXTERNAL_DNS_VERSION = 2


async def find_rack(connection: Connection) -> RackId | None:
    """The rack that this database belongs to, once it is initialized."""
    cursor = await connection.execute("SELECT id FROM rack ORDER BY time_initialized LIMIT 1")
    row = await cursor.fetchone()
    return None if row is None else RackId(row[0])


async def initialize_rack(
    connection: Connection, rack_id: RackId, handoff: RackInitialization, *, nexus_id: NexusId, now: datetime
) -> bool:
    """Record all that rack setup handed over: to be run inside one transaction.

    Returns whether it did: a rack that is initialized already is left as it is, so this may be retried. Raises
    Conflict if the database belongs to another rack.
    """
    # Of two at once, the second waits here for the first, and then sees its row.
    cursor = await connection.execute(
        """
        INSERT INTO rack (id, time_initialized, external_dns_zone) VALUES (%s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        """,
        (rack_id, now, handoff.external_dns_zone_name),
    )
    initialized = await find_rack(connection)
    if initialized != rack_id:
        raise Conflict(f"this database belongs to rack {initialized}, not to {rack_id}")
    if cursor.rowcount == 0:
        return False
    await insert_sleds(connection, handoff.sleds, now=now)
    blueprint = initial_blueprint(
        handoff,
        blueprint_id=BlueprintId(uuid4()),
        now=now,
        internal_dns_version=FIRST_INTERNAL_DNS_VERSION,
        external_dns_version=SILO_EXTERNAL_DNS_VERSION,
    )
    await insert_first_target(connection, blueprint, now=now)
    await insert_nexus_states(connection, blueprint, generation=blueprint.nexus_generation)
    await insert_config(connection, ReconfiguratorConfigParam(version=1, config=INITIAL_CONFIG), now=now)
    silo = handoff.recovery_silo
    silo_id = await insert_silo(connection, silo.silo_name, now=now)
    await insert_user(connection, silo_id, silo.user_name, password_hash=silo.user_password_hash, now=now)
    await _insert_first_dns(connection, handoff, creator=str(nexus_id), now=now)
    return True


async def _insert_first_dns(
    connection: Connection, handoff: RackInitialization, *, creator: str, now: datetime
) -> None:
    (zone,) = handoff.internal_dns_zone_config.zones
    silo_name = handoff.recovery_silo.silo_name
    internal = await insert_dns_zone(connection, "internal", zone_name=zone.zone_name, now=now)
    external = await insert_dns_zone(connection, "external", zone_name=handoff.external_dns_zone_name, now=now)
    setup = "rack setup"
    version = FIRST_INTERNAL_DNS_VERSION
    await insert_dns_version(connection, "internal", version=version, creator=creator, comment=setup, now=now)
    await insert_dns_names(connection, internal, zone.records, version=version)
    version = FIRST_EXTERNAL_DNS_VERSION
    await insert_dns_version(connection, "external", version=version, creator=creator, comment=setup, now=now)
    version, comment = SILO_EXTERNAL_DNS_VERSION, f'create silo: "{silo_name}"'
    await insert_dns_version(connection, "external", version=version, creator=creator, comment=comment, now=now)
    records = external_records({}, handoff.nexus_zones, [silo_name])
    await insert_dns_names(connection, external, records, version=version)
