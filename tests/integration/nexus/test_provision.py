"""The provision saga: every way it ends, what it leaves, and a stale call that is refused."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest
import trio
from saga_lab import SEC_ID, KeptLog

from nexus.db.pool import open_pool
from nexus.db.provisioned import StaleClaim, list_resources, make_resource, remove_resource
from nexus.errors import Conflict, InvalidRequest
from nexus.saga import InMemorySecStore, SagaFailed, SagaId, SagaNotFound, SagaStuck, SagaSucceeded, Sec
from nexus.sagas.catalog import open_catalog
from nexus.sagas.provision import NODES, ProvisionParams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nexus.db.pool import Pool
    from nexus.saga import SagaStatus


class Process:
    def __init__(self, pool: Pool, store: InMemorySecStore) -> None:
        self.pool = pool
        self.log = KeptLog()
        self.catalog = open_catalog([], find_pool=lambda: pool)
        self.sec = Sec(SEC_ID, store=store, registry=self.catalog.types.registry, log=self.log)

    async def create(self, params: ProvisionParams) -> SagaId:
        saga_id = SagaId(uuid4())
        (dag,) = self.catalog.types.dags("provision", msgspec.json.encode(params), count=1)
        await self.sec.create(saga_id, dag)
        return saga_id

    async def held(self, saga_id: SagaId, *nodes: str) -> None:
        await eventually(lambda: self.catalog.holds.held(saga_id) == sorted(nodes))

    def release(self, saga_id: SagaId, node_name: str | None = None) -> list[str]:
        return self.catalog.holds.release(saga_id, node_name, self.sec)

    async def ended(self, saga_id: SagaId) -> SagaStatus:
        return await self.sec.wait_ended(saga_id)

    async def resources(self, saga_id: SagaId) -> list[str]:
        async with self.pool.connection() as connection:
            return await list_resources(connection, saga_id)


async def eventually(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  the database is no task to wait for
        await trio.sleep(0.005)


@asynccontextmanager
async def process(database_url: str, store: InMemorySecStore) -> AsyncIterator[Process]:
    with trio.fail_after(30):
        async with open_pool(database_url, log=KeptLog()) as pool, trio.open_nursery() as nursery:
            nexus = Process(pool, store)
            await nursery.start(nexus.sec.run)
            yield nexus
            nursery.cancel_scope.cancel()


async def test_every_way_it_ends(database_url: str) -> None:
    async with process(database_url, InMemorySecStore()) as nexus:
        saga_id = await nexus.create(ProvisionParams())
        assert (await nexus.ended(saga_id)).state == SagaSucceeded()
        assert await nexus.resources(saga_id) == sorted(NODES)

        for node in NODES:
            saga_id = await nexus.create(ProvisionParams(fail=(node,)))
            state = (await nexus.ended(saga_id)).state
            assert isinstance(state, SagaFailed)
            assert state.error_node_name == node
            assert await nexus.resources(saga_id) == []

        saga_id = await nexus.create(ProvisionParams(fail=("server",), fail_undo=("network/route",)))
        state = (await nexus.ended(saga_id)).state
        assert isinstance(state, SagaStuck)
        assert (state.error_node_name, state.undo_error_node_name) == ("server", "network/route")
        assert await nexus.resources(saga_id) == ["network/address", "network/route", "record"]


async def test_held_and_released(database_url: str) -> None:
    async with process(database_url, InMemorySecStore()) as nexus:
        saga_id = await nexus.create(ProvisionParams(hold=("disk", "network/address", "network/route", "server")))
        await nexus.held(saga_id, "disk", "network/address")
        assert nexus.release(saga_id, "disk") == ["disk"]
        await nexus.held(saga_id, "network/address")
        assert nexus.release(saga_id, "server") == ["server"]  # before it is held
        assert nexus.release(saga_id) == ["network/address"]
        await nexus.held(saga_id, "network/route")
        with pytest.raises(
            InvalidRequest, match='has no node "route" that calls an action; those that do are record, disk, '
        ):
            nexus.release(saga_id, "route")
        assert nexus.release(saga_id) == ["network/route"]
        assert (await nexus.ended(saga_id)).state == SagaSucceeded()
        with pytest.raises(Conflict, match="does not run here"):
            nexus.release(saga_id)
        with pytest.raises(SagaNotFound):
            nexus.release(SagaId(uuid4()))


async def test_parameters_name_nodes_that_there_are(database_url: str) -> None:
    async with process(database_url, InMemorySecStore()) as nexus:
        with pytest.raises(InvalidRequest, match=r'params\.fail: a provision saga has no node "disc"'):
            await nexus.create(ProvisionParams(fail=("disc",)))


async def test_a_demo_saga_is_released_by_its_saga_id(database_url: str) -> None:
    async with process(database_url, InMemorySecStore()) as nexus:
        saga_id, demo_saga_id = await nexus.catalog.demo_sagas.create(nexus.sec)
        await nexus.held(saga_id, "demo_wait")
        nexus.release(saga_id)
        assert (await nexus.ended(saga_id)).state == SagaSucceeded()
        await nexus.catalog.demo_sagas.complete(demo_saga_id, nexus.sec)


async def test_a_stale_call_is_refused(database_url: str) -> None:
    """A process is held inside an action while another recovers the saga and finishes it; then it goes on.

    Nothing else of the saga runs in the first one: it would notice that it has lost the saga, and stop.
    """
    store = InMemorySecStore()
    async with process(database_url, store) as old, process(database_url, store) as new:
        saga_id = await old.create(ProvisionParams(hold=("record",)))
        await old.held(saga_id, "record")
        await new.sec.recover(saga_id)
        await new.held(saga_id, "record")
        new.release(saga_id)
        assert (await new.ended(saga_id)).state == SagaSucceeded()
        async with new.pool.connection() as connection:
            await remove_resource(connection, saga_id, "record", claim=2)
        old.release(saga_id)
        await eventually(lambda: any(line == "saga lost; not running it any more" for _, line, _ in old.log.lines))
        (refused,) = [fields["error"] for _, line, fields in old.log.lines if line == "action failed"]
        assert f"claim 1 of saga {saga_id} is stale" in str(refused)
        assert "record" not in await new.resources(saga_id)


async def test_the_claim_check(database_url: str) -> None:
    saga_id = SagaId(uuid4())
    async with open_pool(database_url, log=KeptLog()) as pool, pool.connection() as connection:
        for claim in (1, 3, 3):
            await make_resource(connection, saga_id, "disk", claim=claim)
        with pytest.raises(StaleClaim):
            await make_resource(connection, saga_id, "other", claim=2)
        with pytest.raises(StaleClaim):
            await remove_resource(connection, saga_id, "disk", claim=2)
        await make_resource(connection, SagaId(uuid4()), "disk", claim=1)
        assert await list_resources(connection, saga_id) == ["disk"]
