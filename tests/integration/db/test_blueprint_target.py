"""The target blueprint in a real database: its history, what is refused, and several who change it at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
import structlog
import trio
from blueprint_lab import (
    FIRST_NEXUS,
    FIRST_SLED,
    HANDOFF,
    INITIAL,
    SECOND_NEXUS,
    SECOND_SLED,
    START,
    blueprint_id,
    child_metadata,
    edited_child,
)

from dropshot.address import SocketAddr
from nexus.db.blueprint_target import (
    delete_unless_target,
    lock_target,
    read_target,
    replace_target,
    set_target,
    set_target_enabled,
)
from nexus.db.blueprints import find_blueprint, insert_blueprint, list_blueprints, read_blueprint
from nexus.db.child_blueprints import store_edited_blueprint, store_planned_blueprint
from nexus.db.own_zone import put_in_service
from nexus.db.pool import open_pool
from nexus.db.rack import initialize_rack
from nexus.db.sec_processes import enter_sec
from nexus.db.sleds import expunge_sled
from nexus.deployment.blueprint import Blueprint, BlueprintTarget
from nexus.deployment.edits import ExpungeSled, ExpungeZone, child
from nexus.deployment.own_zone import NexusExpunged
from nexus.deployment.sleds import SledPolicyExpunged, SledPolicyInService
from nexus.errors import Conflict, InvalidRequest, NexusError, ObjectAlreadyExists, ObjectNotFound
from nexus.ids import BlueprintId, NexusId, RackId
from nexus.saga.ids import SecId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool

LOG = structlog.get_logger()
RACK = RackId(UUID(int=1))
ISOLATION_LEVELS = ("read committed", "repeatable read", "serializable")


def at_level(database_url: str, level: str) -> str:
    return f"{database_url}?options=-c%20default_transaction_isolation%3D{level.replace(' ', '%5C%20')}"


@asynccontextmanager
async def rack(database_url: str) -> AsyncIterator[Pool]:
    """A database whose target is the first blueprint."""
    with trio.fail_after(60):
        async with open_pool(database_url, log=LOG) as pool:
            await pool.transaction(
                lambda connection: initialize_rack(connection, RACK, HANDOFF, nexus_id=FIRST_NEXUS, now=START)
            )
            yield pool


async def target_of(pool: Pool) -> Blueprint:
    async def read(connection: Connection) -> Blueprint:
        return await read_blueprint(connection, (await read_target(connection)).target_id)

    return await pool.transaction(read)


async def store_child(pool: Pool, number: int) -> Blueprint:
    made = child(await target_of(pool), child_metadata(number))
    await pool.transaction(lambda connection: insert_blueprint(connection, made))
    return made


def history(database_url: str) -> list[tuple[int, UUID, bool]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT version, blueprint_id, enabled FROM bp_target ORDER BY version").fetchall()


async def test_a_child_becomes_the_target_and_is_switched_off_and_on(database_url: str) -> None:
    async with rack(database_url) as pool:
        first = (await target_of(pool)).id
        one = (await store_child(pool, 2)).id
        now = datetime.now(UTC)
        made = await pool.transaction(lambda connection: set_target(connection, one, enabled=False, now=now))
        assert made == BlueprintTarget(target_id=one, enabled=False, time_made_target=now)
        for enabled in (True, True):
            when = datetime.now(UTC)
            await pool.transaction(partial(set_target_enabled, target_id=one, enabled=enabled, now=when))
    assert history(database_url) == [(1, first, True), (2, one, False), (3, one, True), (4, one, True)]


async def test_what_was_committed_already_is_not_done_again(database_url: str) -> None:
    async with rack(database_url) as pool:
        one = (await store_child(pool, 2)).id
        now, later = datetime.now(UTC), datetime.now(UTC)
        for _ in range(2):
            await pool.transaction(lambda connection: set_target(connection, one, enabled=True, now=now))
        for _ in range(2):
            await pool.transaction(lambda connection: set_target_enabled(connection, one, enabled=False, now=later))
    assert len(history(database_url)) == 3


async def test_nor_when_somebody_wrote_after_it(database_url: str) -> None:
    async with rack(database_url) as pool:
        first = (await target_of(pool)).id
        one = (await store_child(pool, 2)).id
        switch, set_, later = (START + timedelta(days=days) for days in (1, 2, 3))
        off = partial(set_target_enabled, target_id=first, enabled=False, now=switch)
        successor = partial(set_target, target_id=one, enabled=True, now=set_)
        await pool.transaction(off)
        await pool.transaction(successor)
        await pool.transaction(partial(set_target_enabled, target_id=one, enabled=False, now=later))
        assert await pool.transaction(off) == BlueprintTarget(target_id=first, enabled=False, time_made_target=switch)
        assert await pool.transaction(successor) == BlueprintTarget(target_id=one, enabled=True, time_made_target=set_)
    assert history(database_url) == [(1, first, True), (2, first, False), (3, one, True), (4, one, False)]


async def test_an_expunged_sled_had_been_in_service(database_url: str) -> None:
    async with rack(database_url) as pool:
        expunge = partial(expunge_sled, sled_id=SECOND_SLED, now=START + timedelta(days=1))
        for _ in range(2):  # as after a commit whose answer was lost
            assert await pool.transaction(expunge) == SledPolicyInService("provisionable")
        again = partial(expunge_sled, sled_id=SECOND_SLED, now=START + timedelta(days=2))
        assert await pool.transaction(again) == SledPolicyExpunged()


async def test_what_cannot_become_the_target(database_url: str) -> None:
    async with rack(database_url) as pool:
        first = (await target_of(pool)).id
        one, other = await store_child(pool, 2), await store_child(pool, 3)
        now = datetime.now(UTC)
        await pool.transaction(lambda connection: set_target(connection, one.id, enabled=True, now=now))

        async def refusal(target_id: UUID, *, set_enabled: bool = False) -> NexusError:
            what = set_target_enabled if set_enabled else set_target
            with pytest.raises(NexusError) as caught:
                await pool.transaction(
                    partial(what, target_id=target_id, enabled=True, now=datetime.now(UTC))  # type: ignore[arg-type]
                )
            return caught.value

        for target_id in (first, other.id):
            refused = await refusal(target_id)
            assert isinstance(refused, InvalidRequest)
            assert str(refused) == f"Blueprint {target_id}'s parent blueprint is not the current target blueprint"
        refused = await refusal(one.id)
        assert isinstance(refused, InvalidRequest)
        assert str(refused).startswith(f"Blueprint {one.id} is the current target blueprint already; ")
        assert isinstance(await refusal(blueprint_id(9)), ObjectNotFound)
        refused = await refusal(other.id, set_enabled=True)
        assert isinstance(refused, InvalidRequest)
        assert str(refused) == f"Blueprint {other.id} is not the current target blueprint"


async def test_all_blueprints_but_the_target_can_be_deleted(database_url: str) -> None:
    async with rack(database_url) as pool:
        first, one = await target_of(pool), await store_child(pool, 2)
        with pytest.raises(Conflict, match="is the current target and cannot be deleted"):
            await pool.transaction(lambda connection: delete_unless_target(connection, first.id))
        await pool.transaction(lambda connection: delete_unless_target(connection, one.id))
        with pytest.raises(ObjectNotFound):
            await pool.transaction(lambda connection: delete_unless_target(connection, one.id))


async def test_a_stored_blueprint_stays_as_it_is(database_url: str) -> None:
    async with rack(database_url) as pool:
        one = await store_child(pool, 2)
        await pool.transaction(lambda connection: insert_blueprint(connection, one))
        other = edited_child(one, ExpungeZone(SECOND_NEXUS), number=2)
        with pytest.raises(ObjectAlreadyExists):
            await pool.transaction(lambda connection: insert_blueprint(connection, other))
        assert await pool.transaction(lambda connection: find_blueprint(connection, one.id)) == one


async def test_blueprints_are_listed_page_by_page(database_url: str) -> None:
    async with rack(database_url) as pool:
        ids = sorted([(await target_of(pool)).id, *[(await store_child(pool, number)).id for number in range(2, 6)]])
        listed: list[BlueprintId] = []
        while True:
            after = listed[-1] if listed else None
            page = await pool.transaction(partial(list_blueprints, after=after, limit=2))
            listed += [metadata.id for metadata in page]
            if not page:
                break
    assert listed == ids


@pytest.mark.parametrize("level", ISOLATION_LEVELS)
async def test_of_several_children_at_once_one_becomes_the_target(database_url: str, level: str) -> None:
    async with rack(at_level(database_url, level)) as pool:
        children = [(await store_child(pool, number)).id for number in range(2, 8)]
        outcomes: list[object] = []

        async def attempt(target_id: UUID) -> None:
            try:
                outcomes.append(
                    await pool.transaction(
                        partial(set_target, target_id=target_id, enabled=True, now=datetime.now(UTC))  # type: ignore[arg-type]
                    )
                )
            except InvalidRequest as error:
                outcomes.append(error)

        async with trio.open_nursery() as nursery:
            for target_id in children:
                nursery.start_soon(attempt, target_id)
        (made,) = [outcome for outcome in outcomes if isinstance(outcome, BlueprintTarget)]
        assert (await target_of(pool)).id == made.target_id
    assert len(history(database_url)) == 2


@pytest.mark.parametrize("level", ISOLATION_LEVELS)
async def test_nexuses_that_come_at_once_are_all_in_the_target(database_url: str, level: str) -> None:
    ids = [NexusId(UUID(int=number)) for number in range(11, 16)]
    async with rack(at_level(database_url, level)) as pool:
        changes: dict[NexusId, list[str]] = {}

        async def join(nexus_id: NexusId) -> None:
            changes[nexus_id] = await pool.transaction(partial(_join, nexus_id=nexus_id))

        async with trio.open_nursery() as nursery:
            for nexus_id in ids:
                nursery.start_soon(join, nexus_id)
        assert {zone.id for _, zone in (await target_of(pool)).zones()} == {FIRST_NEXUS, SECOND_NEXUS, *ids}
        assert all(len(lines) == 3 for lines in changes.values()), changes
        assert await pool.transaction(partial(_join, nexus_id=ids[0])) == []
    with psycopg.connect(database_url) as connection:
        states = connection.execute("SELECT nexus_id, state FROM db_metadata_nexus").fetchall()
        versions = connection.execute("SELECT dns_group, max(version) FROM dns_version GROUP BY 1").fetchall()
    assert dict(states) == dict.fromkeys([FIRST_NEXUS, SECOND_NEXUS, *ids], "active")
    assert dict(versions) == {"internal": 1 + len(ids), "external": 2 + len(ids)}


async def _join(connection: Connection, *, nexus_id: NexusId) -> list[str]:
    number = nexus_id.int % 100
    address, ip = SocketAddr("::1", number), f"100::{number}"
    return await put_in_service(connection, nexus_id, internal_address=address, external_ip=ip, now=datetime.now(UTC))


async def test_a_target_that_is_not_enabled_changes_no_dns(database_url: str) -> None:
    async with rack(database_url) as pool:
        first = (await target_of(pool)).id
        now = datetime.now(UTC)
        await pool.transaction(lambda connection: set_target_enabled(connection, first, enabled=False, now=now))
        (change,) = await pool.transaction(partial(_join, nexus_id=NexusId(UUID(int=11))))
        assert change.startswith("blueprint ")
    assert [enabled for _, _, enabled in history(database_url)] == [True, False, False]


@pytest.mark.parametrize("planned", [True, False])
async def test_a_child_is_stored_once(database_url: str, planned: bool) -> None:
    async with rack(database_url) as pool:
        first = (await target_of(pool)).id

        async def store(connection: Connection) -> Blueprint:
            now = datetime.now(UTC)
            if planned:
                return await store_planned_blueprint(connection, blueprint_id=blueprint_id(2), creator="x", now=now)
            edits = [ExpungeZone(SECOND_NEXUS)]
            return await store_edited_blueprint(
                connection, first, edits, blueprint_id=blueprint_id(2), creator="x", comment=None, now=now
            )

        assert await pool.transaction(store) == await pool.transaction(store)


async def make_target(pool: Pool, edit: ExpungeZone | ExpungeSled, *, number: int = 2) -> None:
    async def replace(connection: Connection) -> None:
        current = await lock_target(connection)
        target = await read_blueprint(connection, current.target.target_id)
        await replace_target(connection, current, edited_child(target, edit, number=number), now=datetime.now(UTC))

    await pool.transaction(replace)


async def expunged_in(pool: Pool) -> dict[UUID, UUID | None]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT sec_id, expunged_blueprint_id FROM sec_process")
        return dict(await cursor.fetchall())


async def enter(pool: Pool, nexus_id: NexusId) -> None:
    await pool.transaction(partial(enter_sec, sec_id=SecId(nexus_id), pid=1, host="here", now=START))


@pytest.mark.parametrize("enabled", [True, False])
async def test_who_is_expunged_in_the_target_is_marked(database_url: str, enabled: bool) -> None:
    """Executed or not, and by the first target in which it is."""
    async with rack(database_url) as pool:
        for nexus_id in (FIRST_NEXUS, SECOND_NEXUS):
            await enter(pool, nexus_id)
        made = edited_child(await target_of(pool), ExpungeZone(SECOND_NEXUS))
        await pool.transaction(partial(insert_blueprint, blueprint=made))
        assert await expunged_in(pool) == {FIRST_NEXUS: None, SECOND_NEXUS: None}
        for _ in range(2):  # as after a commit whose answer was lost
            await pool.transaction(partial(set_target, target_id=made.id, enabled=enabled, now=START))
        assert await expunged_in(pool) == {FIRST_NEXUS: None, SECOND_NEXUS: made.id}
        new = NexusId(UUID(int=7))
        await pool.transaction(partial(_join, nexus_id=new))
        await enter(pool, new)
        await make_target(pool, ExpungeZone(FIRST_NEXUS), number=3)
        assert await expunged_in(pool) == {FIRST_NEXUS: blueprint_id(3), SECOND_NEXUS: made.id, new: None}


async def test_an_expunged_nexus_does_not_come_back(database_url: str) -> None:
    async with rack(database_url) as pool:
        await make_target(pool, ExpungeZone(SECOND_NEXUS))
        with pytest.raises(NexusExpunged, match=str(SECOND_NEXUS)):
            await pool.transaction(partial(_join, nexus_id=SECOND_NEXUS))
        assert len(history(database_url)) == 2


async def test_a_new_nexus_is_put_on_the_last_sled_that_is_left(database_url: str) -> None:
    async with rack(database_url) as pool:
        await make_target(pool, ExpungeSled(SECOND_SLED))
        new = NexusId(UUID(int=7))
        await pool.transaction(partial(_join, nexus_id=new))
        found = (await target_of(pool)).find_zone(new)
        assert found is not None
        assert found[0] == FIRST_SLED
        assert INITIAL.find_zone(new) is None
