"""Drives the blueprints of Nexuses in one process, for tests that change what is to run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import trio
from saga_lab import KeptLog

from nexus.db.pool import open_pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus_lab import Nexus, World

TARGET = "/deployment/blueprints/target"

NEXT = UUID(int=3)
"""A Nexus of the next generation."""

ADD_NEXT: dict[str, object] = {
    "edit": "add_nexus_zone",
    "zone_id": NEXT,
    "internal_address": "[::1]:9",
    "next_generation": True,
}
BUMP: dict[str, object] = {"edit": "bump_nexus_generation"}


async def get(nexus: Nexus, path: str) -> Any:
    response = await nexus.request("GET", path)
    assert response.status == 200, response.body
    return json.loads(response.body)


async def post(nexus: Nexus, path: str, body: object = None) -> Any:
    response = await nexus.request("POST", path, body)
    assert response.status in (200, 204), response.body
    return json.loads(response.body or b"null")


async def edit_target(nexus: Nexus, *edits: dict[str, object]) -> str:
    """Make a child of the target the target; returns its id."""
    child = await post(nexus, "/experimental/blueprints/target/edit", {"edits": edits, "set_target": True})
    child_id: str = child["id"]
    return child_id


async def eventually(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  neither database nor DNS is a task to wait for
        await trio.sleep(0.005)


async def until_a_lock_is_waited_for(database_url: str) -> None:
    """By anybody."""
    async with open_pool(database_url, log=KeptLog()) as pool, pool.connection() as connection:
        while True:
            cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if await cursor.fetchone() != (0,):
                return


def names(w: World) -> set[str]:
    """Whom internal DNS has as a Nexus."""
    (zone,) = w.internal.config.zones
    return {record.data.target.partition(".")[0] for record in zone.records["_nexus._tcp"]}  # type: ignore[union-attr]
