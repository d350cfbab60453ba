"""The tasks that keep the target blueprint and the reconfigurator's configuration, on a real database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import msgspec
import psycopg
import pytest
import structlog
import trio
from blueprint_driver import until_a_lock_is_waited_for
from blueprint_lab import (
    FIRST_NEXUS,
    FIRST_SLED,
    HANDOFF,
    INITIAL,
    SECOND_NEXUS,
    SECOND_SLED,
    START,
    added,
    edited_child,
)
from saga_lab import KeptLog
from stored_sagas import demo

from nexus.background.activator import Activator, Watch
from nexus.background.tasks.blueprint_executor import BlueprintExecutor, NotTheTarget
from nexus.background.tasks.blueprint_loader import BlueprintLoader
from nexus.background.tasks.blueprint_planner import BlueprintPlanner
from nexus.background.tasks.expunged_zone_watcher import ExpungedZoneWatcher
from nexus.background.tasks.reconfigurator_config import ReconfiguratorConfigWatcher
from nexus.db.blueprint_target import lock_target, read_target, replace_target, set_target_enabled
from nexus.db.blueprints import read_blueprint
from nexus.db.connection import Connection
from nexus.db.nexus_state_repairs import mark_quiesced
from nexus.db.pool import open_pool
from nexus.db.rack import initialize_rack
from nexus.db.reconfigurator_config import insert_config
from nexus.db.sleds import expunge_sled
from nexus.deployment.config import INITIAL_CONFIG, ReconfiguratorConfigParam, ReconfiguratorConfigView
from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone
from nexus.deployment.execution import EventReport
from nexus.deployment.loaded import LoadedBlueprint
from nexus.deployment.own_zone import NexusExpunged
from nexus.errors import InvalidRequest
from nexus.ids import NexusId, RackId
from nexus.quiesce.gate import QuiesceGate
from nexus.rack import NexusZone
from nexus.saga.action import ActionRegistry
from nexus.saga.ids import SecId
from nexus.saga.postgres import PostgresSecStore, adoption
from nexus.saga.sec import Sec
from nexus.saga.store import Abandonment, Adoption

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nexus.db.pool import Pool
    from nexus.deployment.edits import Edit
    from nexus.saga.errors import SagaLost

T = TypeVar("T")

LOG = structlog.get_logger()
THIRD = NexusZone(NexusId(UUID(int=3)), FIRST_SLED, "127.0.0.1:9", "100::3")
"""Nobody listens there."""


@asynccontextmanager
async def rack(database_url: str) -> AsyncIterator[Pool]:
    with trio.fail_after(30):
        async with open_pool(database_url, log=LOG) as pool:
            await pool.transaction(
                lambda connection: initialize_rack(
                    connection, RackId(UUID(int=1)), HANDOFF, nexus_id=FIRST_NEXUS, now=START
                )
            )
            yield pool


async def test_the_loader_tells_of_what_differs_alone(database_url: str) -> None:
    watch: Watch[LoadedBlueprint | None] = Watch(None)
    changes = watch.subscribe()
    log = KeptLog()
    async with rack(database_url) as pool:
        loader = BlueprintLoader(pool=pool, loaded=watch, log=log, now=lambda: START)
        target_id = (await pool.transaction(read_target)).target_id
        found = {"target_id": target_id, "time_created": START, "time_found": START, "enabled": True}
        assert await loader.activate() == {**found, "status": "first target blueprint"}
        assert changes.take()
        assert watch.value is not None
        assert watch.value.blueprint.sleds == INITIAL.sleds
        assert await loader.activate() == {**found, "status": "target blueprint unchanged"}
        assert not changes.take()
        now = datetime.now(UTC)
        await pool.transaction(lambda connection: set_target_enabled(connection, target_id, enabled=False, now=now))
        assert await loader.activate() == {**found, "enabled": False, "status": "target blueprint disabled"}
        assert changes.take()
        said = {"blueprint_id": str(target_id), "comment": INITIAL.comment, "creator": INITIAL.creator}
        assert log.lines == [
            ("debug", "first target blueprint", {**said, "enabled": True}),
            ("info", "target blueprint disabled", {**said, "enabled": False}),
        ]
        log.lines.clear()
        target = await make_target(pool, ExpungeZone(SECOND_NEXUS))
        await loader.activate()
        blueprint = target.blueprint
        said = {"blueprint_id": str(blueprint.id), "comment": blueprint.comment, "creator": blueprint.creator}
        assert log.lines == [("info", "target blueprint updated", {**said, "enabled": False})]


async def test_a_load_without_a_change_is_one_statement_and_says_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Nexus does it every second."""
    statements: list[object] = []
    log = KeptLog()
    async with rack(database_url) as pool:
        loader = BlueprintLoader(pool=pool, loaded=Watch(None), log=log, now=lambda: START)
        await loader.activate()
        log.lines.clear()
        execute = Connection.execute

        async def execute_and_count(connection: Connection, query: Any, *args: Any, **kwargs: Any) -> Any:
            statements.append(query)
            return await execute(connection, query, *args, **kwargs)

        monkeypatch.setattr(Connection, "execute", execute_and_count)
        assert (await loader.activate())["status"] == "target blueprint unchanged"
    assert len(statements) == 1
    assert log.lines == []


async def test_the_loader_tells_of_a_blueprint_that_changes_under_its_id(database_url: str) -> None:
    watch: Watch[LoadedBlueprint | None] = Watch(None)
    async with rack(database_url) as pool:
        loader = BlueprintLoader(pool=pool, loaded=watch, log=KeptLog(), now=lambda: START)
        await loader.activate()
        changes = watch.subscribe()
        with psycopg.connect(database_url) as connection:
            connection.execute("""UPDATE blueprint SET contents = jsonb_set(contents, '{comment}', '"other"')""")
        details = await loader.activate()
        assert details["status"] == "target blueprint unchanged (error)"
        assert details["error"] == f"blueprint {details['target_id']} has changed, which no blueprint ever should"
        assert not changes.take()


async def test_the_configuration_is_watched(database_url: str) -> None:
    watch: Watch[ReconfiguratorConfigView | None] = Watch(None)
    changes = watch.subscribe()
    async with rack(database_url) as pool:
        watcher = ReconfiguratorConfigWatcher(pool=pool, config=watch)
        assert [await watcher.activate() for _ in range(2)] == [{"config_updated": True}, {"config_updated": False}]
        assert watch.value == ReconfiguratorConfigView(1, INITIAL_CONFIG, START)
        assert changes.take()
        now = datetime.now(UTC)
        wanted = ReconfiguratorConfigParam(2, INITIAL_CONFIG)
        for _ in range(2):  # as after a commit whose answer was lost
            await pool.transaction(lambda connection: insert_config(connection, wanted, now=now))
        assert await watcher.activate() == {"config_updated": True}
        assert changes.take()
        newer = ReconfiguratorConfigParam(3, INITIAL_CONFIG)
        await pool.transaction(lambda connection: insert_config(connection, newer, now=datetime.now(UTC)))
        await pool.transaction(lambda connection: insert_config(connection, wanted, now=now))
        with pytest.raises(InvalidRequest, match="version 2 is not the most recent"):
            await pool.transaction(lambda connection: insert_config(connection, wanted, now=START))


PLANNER_ON = ReconfiguratorConfigView(1, msgspec.structs.replace(INITIAL_CONFIG, planner_enabled=True), START)


def planner(pool: Pool, nexus_id: NexusId) -> BlueprintPlanner:
    return BlueprintPlanner(
        nexus_id, pool=pool, config=Watch(PLANNER_ON), loader=Activator(), now=lambda: datetime.now(UTC)
    )


async def target_of(pool: Pool) -> LoadedBlueprint:
    async def read(connection: Connection) -> LoadedBlueprint:
        target = await read_target(connection)
        return LoadedBlueprint(target, await read_blueprint(connection, target.target_id))

    return await pool.transaction(read)


async def make_target(pool: Pool, *edits: Edit) -> LoadedBlueprint:
    async def replace(connection: Connection) -> None:
        current = await lock_target(connection)
        target = await read_blueprint(connection, current.target.target_id)
        made = edited_child(target, *edits, number=current.version + 1)
        await replace_target(connection, current, made, now=datetime.now(UTC))

    await pool.transaction(replace)
    return await target_of(pool)


async def test_the_planner_goes_by_the_sleds_that_are_there_when_it_has_the_target(database_url: str) -> None:
    details: dict[str, object] = {}
    async with rack(database_url) as pool:

        async def plan() -> None:
            details.update(await planner(pool, FIRST_NEXUS).activate())

        async with trio.open_nursery() as nursery, pool.connection() as connection, connection.transaction():
            await lock_target(connection)
            nursery.start_soon(plan)
            await until_a_lock_is_waited_for(database_url)
            await pool.transaction(partial(expunge_sled, sled_id=SECOND_SLED, now=START))
    assert details["comment"] == f"expunged sled {SECOND_SLED}"


async def test_an_expunged_nexus_plans_and_watches_nothing(database_url: str) -> None:
    async with rack(database_url) as pool:
        before = await target_of(pool)
        target = await make_target(pool, ExpungeZone(SECOND_NEXUS), added(THIRD), ExpungeZone(NexusId(THIRD.id)))
        await pool.transaction(partial(expunge_sled, sled_id=SECOND_SLED, now=START))
        refused = {"error": str(NexusExpunged(SECOND_NEXUS, target.blueprint))}
        assert await planner(pool, SECOND_NEXUS).activate() == refused
        stale = LoadedBlueprint(
            before.target, edited_child(before.blueprint, added(THIRD), ExpungeZone(NexusId(THIRD.id)))
        )
        for loaded in (target, stale):
            watcher = ExpungedZoneWatcher(
                SECOND_NEXUS, pool=pool, loaded=Watch(loaded), loader=Activator(), log=LOG, now=lambda: START
            )
            assert await watcher.activate() == refused
        assert await target_of(pool) == target


class NoSec:
    """Has no sagas to move, and says who wanted to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[SecId]]] = []

    async def adopt(self, expunged: Sequence[SecId], *, guard: object) -> Adoption:
        self.calls.append(("adopt", list(expunged)))
        return Adoption(())

    async def abandon_orphans(self, orphaned: Sequence[SecId], *, comment: str, guard: object) -> Abandonment:
        self.calls.append(("abandon", list(orphaned)))
        return Abandonment(())

    async def check_claims(self) -> list[SagaLost]:
        return []


def now() -> datetime:
    return datetime.now(UTC)


def executor(
    pool: Pool,
    nexus_id: NexusId,
    loaded: LoadedBlueprint,
    sec: NoSec | Sec,
    *,
    quiesce: QuiesceGate | None = None,
    recovery: Activator | None = None,
    log: KeptLog | None = None,
) -> BlueprintExecutor:
    return BlueprintExecutor(
        nexus_id,
        pool=pool,
        sec=cast("Sec", sec),
        quiesce=quiesce or QuiesceGate(nexus_id, now=now),
        loaded=Watch(loaded),
        recovery=recovery or Activator(),
        dns=(),
        log=log or LOG,
        now=now,
    )


async def test_the_log_says_whose_sagas_came_by_which_blueprint(database_url: str) -> None:
    async with rack(database_url) as pool:
        expunged = (ExpungeZone(NexusId(each), ready_for_cleanup=True) for each in (SECOND_NEXUS, THIRD.id))
        target = await make_target(pool, added(THIRD), *expunged)
        with psycopg.connect(database_url) as connection:
            for saga in (1, 2):
                demo(saga, current_sec=SECOND_NEXUS).insert(connection)
        log = KeptLog()
        sec = Sec(SecId(FIRST_NEXUS), store=PostgresSecStore(pool, log=log), registry=ActionRegistry([]), log=KeptLog())
        for _ in range(2):
            await executor(pool, FIRST_NEXUS, target, sec, log=log).activate()
    said = {"count": 2, "blueprint_id": str(target.blueprint.id), "expunged": str(SECOND_NEXUS)}
    assert log.lines == [("info", "sagas reassigned to this Nexus", said)]


@pytest.mark.parametrize("asked", [False, True], ids=["runs", "quiesces"])
async def test_the_log_says_once_that_an_expunged_nexus_makes_no_new_sagas(database_url: str, asked: bool) -> None:
    """Of one that quiesces it has been said already that it makes none."""
    log, quiesce = KeptLog(), QuiesceGate(SECOND_NEXUS, now=now)
    async with rack(database_url) as pool:
        quiesce.see((await target_of(pool)).blueprint)
        if asked:
            quiesce.request()
        target = await make_target(pool, ExpungeZone(SECOND_NEXUS))
        for _ in range(2):
            await executor(pool, SECOND_NEXUS, target, NoSec(), quiesce=quiesce, log=log).activate()
    expunged = f"zone {SECOND_NEXUS}, which is this Nexus, is expunged in blueprint {target.blueprint.id}"
    assert log.lines == ([] if asked else [("warning", "no new sagas from now on", {"reason": expunged})])


async def test_a_nexus_whose_generation_is_not_active_leaves_sagas_to_those_that_live(database_url: str) -> None:
    async with rack(database_url) as pool:
        target = await make_target(
            pool, added(THIRD, next_generation=True), ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True)
        )
        sec = NoSec()
        details = await executor(pool, NexusId(THIRD.id), target, sec).activate()
        assert details["error"] == (
            f"this Nexus, zone {THIRD.id}, is of a generation that is not active yet: it executes nothing so far"
        )
        assert sec.calls == []
        assert "error" not in await executor(pool, FIRST_NEXUS, target, sec).activate()
        assert sec.calls == [("adopt", [SecId(SECOND_NEXUS)])]


async def test_who_is_cancelled_while_it_reassigns_does_not_know_what_moved(database_url: str) -> None:
    with trio.CancelScope() as scope:

        class SlowSec(NoSec):
            async def adopt(self, expunged: Sequence[SecId], *, guard: object) -> Adoption:
                scope.cancel()
                await trio.lowlevel.checkpoint()
                return await super().adopt(expunged, guard=guard)

        async with rack(database_url) as pool:
            target = await make_target(pool, ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True))
            quiesce = QuiesceGate(FIRST_NEXUS, now=lambda: START)
            await executor(pool, FIRST_NEXUS, target, SlowSec(), quiesce=quiesce).activate()
    assert scope.cancelled_caught
    assert not quiesce.sagas.reassignment_pending
    assert quiesce.sagas.reassignment_generation == 2


@pytest.mark.parametrize("disabled", [False, True], ids=["another target", "the target disabled"])
async def test_nothing_is_done_by_what_is_the_target_no_more(database_url: str, disabled: bool) -> None:
    """Not even by a Nexus that was stopped meanwhile, and is itself expunged."""
    async with rack(database_url) as pool:
        add = (
            added(THIRD, next_generation=True),
            BumpNexusGeneration(),
            ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True),
        )
        stale = await make_target(pool, *add)
        if disabled:
            now = datetime.now(UTC)
            change = partial(set_target_enabled, target_id=stale.target.target_id, enabled=False, now=now)
            await pool.transaction(change)
        else:
            await make_target(pool, ExpungeZone(FIRST_NEXUS))
        sec = NoSec()
        for nexus_id in (FIRST_NEXUS, NexusId(THIRD.id)):
            report = (await executor(pool, nexus_id, stale, sec).activate())["event_report"]
            assert isinstance(report, EventReport)
            said = {(step.outcome, step.message) for step in report.steps}
            assert said == {("warning", str(NotTheTarget(stale.blueprint)))}
        assert sec.calls == []
        with psycopg.connect(database_url) as connection:
            left = connection.execute("SELECT FROM db_metadata_nexus WHERE nexus_id = %s", (SECOND_NEXUS,)).fetchone()
        assert left is not None


async def test_sagas_are_left_to_nexuses_of_their_generation_that_can_run_them(database_url: str) -> None:
    async with rack(database_url) as pool:
        add = added(THIRD, next_generation=True)
        gone = ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True)
        target = await make_target(pool, add, BumpNexusGeneration(), gone)
        for left, said in (
            (True, f"left to Nexuses of their generation that have not made way yet: {FIRST_NEXUS}"),
            (False, "0 sagas abandoned"),
        ):
            if not left:
                with psycopg.connect(database_url) as connection:
                    mark_quiesced(connection, FIRST_NEXUS)
            sec = NoSec()
            report = (await executor(pool, NexusId(THIRD.id), target, sec).activate())["event_report"]
            assert isinstance(report, EventReport)
            assert (report.steps[-1].outcome, report.steps[-1].message) == ("completed", said)
            assert bool(sec.calls) is not left


class StoppedPool:
    """Of a process that is stopped before the transaction of this number, and goes on after `meanwhile`."""

    def __init__(self, pool: Pool, before: int, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._pool = pool
        self._left = before
        self._meanwhile = meanwhile

    async def transaction(self, fn: Callable[[Connection], Awaitable[T]]) -> T:
        self._left -= 1
        if self._left == 0:
            await self._meanwhile()
        return await self._pool.transaction(fn)


@pytest.mark.parametrize("nexus_id", [FIRST_NEXUS, NexusId(THIRD.id)], ids=["reassigns", "abandons orphans"])
@pytest.mark.parametrize("taken", [0, 1])
async def test_a_nexus_that_was_stopped_among_sagas_takes_no_more_of_them(
    database_url: str, nexus_id: NexusId, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists one, takes it, looks whether it is left, and so on. Before it takes one it is stopped, and expunged."""
    monkeypatch.setattr(adoption, "BATCH", 1)
    async with rack(database_url) as pool:
        target = await make_target(
            pool,
            added(THIRD, next_generation=True),
            BumpNexusGeneration(),
            ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True),
        )
        with psycopg.connect(database_url) as connection:
            for saga in (1, 2):
                demo(saga, current_sec=SECOND_NEXUS).insert(connection)
            if nexus_id != FIRST_NEXUS:
                mark_quiesced(connection, FIRST_NEXUS)
        last = NexusZone(NexusId(UUID(int=4)), FIRST_SLED, "127.0.0.1:10", "100::4")
        meanwhile = partial(make_target, pool, added(last), ExpungeZone(nexus_id))
        store = PostgresSecStore(cast("Pool", StoppedPool(pool, 3 * taken + 2, meanwhile)), log=KeptLog())
        sec = Sec(SecId(nexus_id), store=store, registry=ActionRegistry([]), log=KeptLog())
        quiesce, recovery = QuiesceGate(nexus_id, now=now), Activator()
        details = await executor(pool, nexus_id, target, sec, quiesce=quiesce, recovery=recovery).activate()
        report = details["event_report"]
        assert isinstance(report, EventReport)
        reassigning, abandoning = report.steps[-2:]
        assert (abandoning.outcome, abandoning.message) == ("warning", str(NotTheTarget(target.blueprint)))
        if nexus_id == FIRST_NEXUS:
            assert (reassigning.outcome, reassigning.message) == ("warning", str(NotTheTarget(target.blueprint)))
            assert recovery.take()
            assert not quiesce.sagas.reassignment_pending
            assert quiesce.sagas.reassignment_generation == 2
            assert quiesce.sagas.reassignment_blueprint_id is None
        with psycopg.connect(database_url) as connection:
            left = connection.execute(
                "SELECT FROM saga WHERE current_sec = %s AND saga_state = 'running'", (SECOND_NEXUS,)
            ).fetchall()
        assert len(left) == 2 - taken
