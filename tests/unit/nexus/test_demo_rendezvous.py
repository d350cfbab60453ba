"""The demo saga: the orders in which its action and whoever completes it can meet, on a real SEC."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
import trio

from dropshot.logging import BunyanForm, log_to
from nexus.errors import Conflict, NotFound, ServiceUnavailable
from nexus.ids import DemoSagaId
from nexus.saga import (
    ActionRegistry,
    DagBuilder,
    InMemorySecStore,
    SagaDag,
    SagaId,
    SagaRunning,
    SagaSucceeded,
    Sec,
    SecId,
)
from nexus.saga.sec import DEFAULT_HISTORY
from nexus.sagas import demo
from nexus.sagas.demo import COMPLETE_TIMEOUT_S, WAIT_NODE, DemoParams, DemoSagas
from nexus.sagas.holds import Holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SEC_ID = SecId(UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"))


class Process:
    """A Nexus process as far as demo sagas go."""

    def __init__(self, store: InMemorySecStore, *, history: int = DEFAULT_HISTORY) -> None:
        self.demo_sagas = DemoSagas(Holds())
        log = log_to(io.StringIO(), form=BunyanForm())
        self.sec = Sec(
            SEC_ID, store=store, registry=ActionRegistry([self.demo_sagas.wait_action]), log=log, history=history
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.sec.run)
            yield self
            nursery.cancel_scope.cancel()

    async def create_unregistered(self) -> tuple[SagaId, DemoSagaId]:
        saga_id, demo_saga_id = SagaId(uuid4()), DemoSagaId(uuid4())
        await self.sec.create(saga_id, demo_dag(self.demo_sagas, demo_saga_id))
        return saga_id, demo_saga_id


def demo_dag(demo_sagas: DemoSagas, demo_saga_id: DemoSagaId) -> SagaDag:
    return DagBuilder("demo").append(demo_sagas.wait_action.node(WAIT_NODE)).build(DemoParams(demo_saga_id))


async def test_dag_is_upstreams() -> None:
    demo_saga_id = DemoSagaId(UUID("88eddf09-dda3-4d70-8d99-1d3b441c57da"))
    assert demo_dag(DemoSagas(Holds()), demo_saga_id).to_json() == (
        b'{"saga_name":"demo","graph":{"nodes":['
        b'{"Action":{"name":"demo_wait","label":"DemoWait","action_name":"demo.demo_wait"}},'
        b'{"Start":{"params":{"id":"88eddf09-dda3-4d70-8d99-1d3b441c57da"}}},"End"],'
        b'"node_holes":[],"edge_property":"directed","edges":[[1,0,null],[0,2,null]]},"start_node":1,"end_node":2}'
    )


async def test_register_wait_complete(autojump_clock: trio.testing.MockClock) -> None:
    async with Process(InMemorySecStore()).running() as nexus:
        saga_id, demo_saga_id = await nexus.demo_sagas.create(nexus.sec)
        await trio.testing.wait_all_tasks_blocked()
        assert nexus.sec.saga(saga_id).state == SagaRunning()
        await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        assert (await nexus.sec.wait_ended(saga_id)).state == SagaSucceeded()


async def test_register_complete_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with Process(InMemorySecStore()).running() as nexus:
        saga_id, demo_saga_id = SagaId(uuid4()), DemoSagaId(uuid4())
        nexus.demo_sagas.register(demo_saga_id, saga_id)
        async with trio.open_nursery() as nursery:
            # The saga is in memory, its action has not been called: complete finds the one without the other.
            await nexus.sec.create(saga_id, demo_dag(nexus.demo_sagas, demo_saga_id))
            nursery.start_soon(nexus.demo_sagas.complete, demo_saga_id, nexus.sec)
        assert (await nexus.sec.wait_ended(saga_id)).state == SagaSucceeded()


async def test_wait_complete_without_register(autojump_clock: trio.testing.MockClock) -> None:
    async with Process(InMemorySecStore()).running() as nexus:
        saga_id, demo_saga_id = await nexus.create_unregistered()
        await trio.testing.wait_all_tasks_blocked()
        await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        assert (await nexus.sec.wait_ended(saga_id)).state == SagaSucceeded()


async def test_complete_first_is_unknown_and_leaves_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with Process(InMemorySecStore()).running() as nexus:
        saga_id, demo_saga_id = SagaId(uuid4()), DemoSagaId(uuid4())
        with pytest.raises(NotFound, match=f"^demo saga with demo saga id {demo_saga_id} \\(demo_saga\\)$"):
            await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        await nexus.sec.create(saga_id, demo_dag(nexus.demo_sagas, demo_saga_id))
        await trio.testing.wait_all_tasks_blocked()
        assert nexus.sec.saga(saga_id).state == SagaRunning()


async def test_completing_twice_is_no_error(autojump_clock: trio.testing.MockClock) -> None:
    async with Process(InMemorySecStore()).running() as nexus:
        _, demo_saga_id = await nexus.demo_sagas.create(nexus.sec)
        await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)


async def test_a_recovered_saga_can_be_completed(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    async with Process(store).running() as first:
        saga_id, demo_saga_id = await first.demo_sagas.create(first.sec)
        await trio.testing.wait_all_tasks_blocked()
    async with Process(store).running() as second:
        with pytest.raises(NotFound):
            await second.demo_sagas.complete(demo_saga_id, second.sec)
        await second.sec.recover(saga_id)
        with pytest.raises(ServiceUnavailable, match="only just being resumed"):
            await second.demo_sagas.complete(demo_saga_id, second.sec)
        await trio.testing.wait_all_tasks_blocked()
        await second.demo_sagas.complete(demo_saga_id, second.sec)
        assert (await second.sec.wait_ended(saga_id)).state == SagaSucceeded()


async def test_a_saga_that_is_elsewhere_now_is_a_conflict(autojump_clock: trio.testing.MockClock) -> None:
    async with Process(InMemorySecStore()).running() as nexus:
        saga_id, demo_saga_id = SagaId(uuid4()), DemoSagaId(uuid4())
        nexus.demo_sagas.register(demo_saga_id, saga_id)
        with pytest.raises(Conflict, match=f"saga {saga_id} is not run by this Nexus any more"):
            await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        # The permit went with it: should the saga come back, it waits.
        await nexus.sec.create(saga_id, demo_dag(nexus.demo_sagas, demo_saga_id))
        await trio.testing.wait_all_tasks_blocked()
        assert nexus.sec.saga(saga_id).state == SagaRunning()


async def test_no_answer_before_success_is_durable(autojump_clock: trio.testing.MockClock) -> None:
    store = InMemorySecStore()
    async with Process(store).running() as nexus:
        saga_id, demo_saga_id = await nexus.demo_sagas.create(nexus.sec)
        await trio.testing.wait_all_tasks_blocked()
        store.go_away()
        start = trio.current_time()
        with pytest.raises(ServiceUnavailable, match="try again to be sure"):
            await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        assert trio.current_time() - start == pytest.approx(COMPLETE_TIMEOUT_S)
        store.come_back()
        await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
        assert (await nexus.sec.wait_ended(saga_id)).state == SagaSucceeded()


async def test_what_the_sec_has_forgotten_is_forgotten_here_too(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "MEETINGS_KEPT", 3)
    async with Process(InMemorySecStore(), history=1).running() as nexus:

        async def create() -> DemoSagaId:
            return (await nexus.demo_sagas.create(nexus.sec))[1]

        async def create_and_complete() -> DemoSagaId:
            demo_saga_id = await create()
            await nexus.demo_sagas.complete(demo_saga_id, nexus.sec)
            await trio.testing.wait_all_tasks_blocked()
            return demo_saga_id

        waiting = await create()
        forgotten, remembered = await create_and_complete(), await create_and_complete()
        await nexus.demo_sagas.complete(forgotten, nexus.sec)  # few enough: still known
        await create()
        with pytest.raises(NotFound):
            await nexus.demo_sagas.complete(forgotten, nexus.sec)
        await nexus.demo_sagas.complete(remembered, nexus.sec)
        await nexus.demo_sagas.complete(waiting, nexus.sec)
