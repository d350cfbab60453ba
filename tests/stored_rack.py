"""A rack in a database as omdb finds it, and golden files of what it prints of that."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import structlog
import trio
from blueprint_lab import FIRST_NEXUS, HANDOFF, SECOND_NEXUS, SECOND_SLED, START, added, edited_child
from golden_files import check_golden
from redact import Redactor

from nexus.db.blueprint_target import lock_target, replace_target
from nexus.db.blueprints import insert_blueprint, read_blueprint
from nexus.db.deployed_dns import deploy_dns, lock_dns
from nexus.db.nexus_states import insert_nexus_states
from nexus.db.pool import open_pool
from nexus.db.rack import initialize_rack
from nexus.deployment.edits import ExpungeZone
from nexus.ids import NexusId, RackId
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from nexus.db.connection import Connection

THIRD_NEXUS = NexusId(UUID("77777777-0000-4000-8000-000000000003"))
THIRD = NexusZone(THIRD_NEXUS, SECOND_SLED, "[::1]:12240", "100::3")


async def fill(url: str) -> None:
    """A rack whose second Nexus is expunged, whose third one waits for its turn, and whose first blueprint is gone."""
    async with open_pool(url, log=structlog.get_logger()) as pool:

        async def initialize(connection: Connection) -> None:
            await initialize_rack(connection, RackId(UUID(int=1)), HANDOFF, nexus_id=FIRST_NEXUS, now=START)

        async def change(connection: Connection) -> None:
            current = await lock_target(connection)
            dns = await lock_dns(connection)
            target = await read_blueprint(connection, current.target.target_id)
            one = edited_child(target, ExpungeZone(SECOND_NEXUS), added(THIRD, next_generation=True), number=2)
            now = START + timedelta(seconds=2)
            await replace_target(connection, current, one, now=now)
            await insert_nexus_states(connection, one, generation=1)
            await deploy_dns(connection, dns, one, generation=1, creator=str(FIRST_NEXUS), now=now)
            await insert_blueprint(connection, edited_child(one, number=3))
            await connection.execute("DELETE FROM blueprint WHERE parent_blueprint_id IS NULL")

        await pool.transaction(initialize)
        await pool.transaction(change)


def filled(database_url: str) -> dict[str, str]:
    trio.run(fill, database_url)
    return {"OMDB_DB_URL": database_url}


def golden_of_database(name: str, text: str, url: str) -> None:
    """The id of the rack's first blueprint is another one each time."""
    text = text.replace(url, "DATABASE-URL").replace(urlsplit(url).netloc.partition("@")[2], "DATABASE-ADDRESS")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT blueprint_id FROM bp_target WHERE version = 1").fetchall()
    for (first,) in rows:
        text = text.replace(str(first), "<the first blueprint's id>".ljust(36, "."))
    check_golden(f"omdb/{name}.txt", Redactor().redact_ports(text))
