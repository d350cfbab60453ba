"""A Nexus' own zone in the target blueprint, and the DNS that follows from the target."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from nexus.db.blueprint_target import lock_target, replace_target
from nexus.db.blueprints import read_blueprint
from nexus.db.deployed_dns import deploy_dns, lock_dns
from nexus.db.nexus_states import insert_nexus_states
from nexus.deployment.blueprint import FromEdit
from nexus.deployment.edits import ChildMetadata, child, edits_comment
from nexus.deployment.own_zone import place_nexus
from nexus.ids import BlueprintId

if TYPE_CHECKING:
    from datetime import datetime

    from dropshot.address import SocketAddr
    from nexus.db.connection import Connection
    from nexus.ids import NexusId


async def put_in_service(
    connection: Connection, nexus_id: NexusId, *, internal_address: SocketAddr, external_ip: str, now: datetime
) -> list[str]:
    """Have this Nexus in the target blueprint as it is and, if the target is enabled, DNS as the target has it.

    A Nexus that rack setup knew keeps the external address that it was given there. One that it did not know is taken
    for one on the first sled that is left. Either change is a child of the target, which takes its place. Returns a
    line for each change, for the log. Run again after a commit whose answer was lost, it finds nothing to do.

    Raises NexusExpunged.
    """
    current = await lock_target(connection)
    dns = await lock_dns(connection)
    target = await read_blueprint(connection, current.target.target_id)
    changes: list[str] = []
    edit = place_nexus(target, nexus_id, internal_address=internal_address, external_ip=external_ip)
    if edit is not None:
        metadata = ChildMetadata(
            id=BlueprintId(uuid4()),
            time_created=now,
            creator=str(nexus_id),
            comment=edits_comment([edit]),
            source=FromEdit(),
            internal_dns_version=dns.internal.version,
            external_dns_version=dns.external.version,
        )
        target = child(target, metadata, [edit])
        await replace_target(connection, current, target, now=now)
        await insert_nexus_states(connection, target)
        changes.append(f"blueprint {target.id} ({target.comment})")
    if current.target.enabled:
        changes += await deploy_dns(connection, dns, target, creator=str(nexus_id), now=now)
    return changes
