"""Background task `blueprint_executor`: makes the control plane what the target blueprint says.

The steps are those of upstream's that mean something here, in its order. One that fails is reported as a warning, and
the others are tried all the same; the next activation is the retry. Every Nexus of the blueprint does all of this, at
the same time: each step finds done what another has done, and no transaction of one is begun unless the blueprint is
the enabled target.

Details: `{"target_id", "enabled", "execution_error", "needs_saga_recovery", "event_report"}`; of a blueprint that is
not to be executed the first two only, and of one that is not for this Nexus to execute `error` with them.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from nexus.db.blueprint_target import lock_target, read_target
from nexus.db.deployed_dns import deploy_dns, lock_dns
from nexus.db.errors import DatabaseUnavailable
from nexus.db.nexus_states import delete_nexus_states, insert_nexus_states, list_active
from nexus.deployment.execution import (
    ORPHANED_COMMENT,
    EventReport,
    NotInBlueprint,
    StepReport,
    expunged_zones,
    own_generation,
    saga_moves,
    why_not_to_execute,
)
from nexus.saga.errors import SagaError
from nexus.saga.ids import SecId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from dropshot.logging import Log
    from nexus.background.activator import Activator, Watch
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.deployment.blueprint import Blueprint, BlueprintTarget
    from nexus.deployment.loaded import LoadedBlueprint
    from nexus.ids import NexusId
    from nexus.quiesce.gate import QuiesceGate
    from nexus.saga.sec import Sec


class NotTheTarget(Exception):
    """Another blueprint has become the target meanwhile, or it was disabled. The next activation goes by that."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__(f"blueprint {blueprint.id} is not the target any more, or not to be executed any more")


class BlueprintExecutor:
    """`recovery` is activated when sagas were taken over, `dns` when DNS has a new version. `quiesce` is told which
    blueprint is the target, executed or not, and what came of reassigning.
    """

    def __init__(
        self,
        nexus_id: NexusId,
        *,
        pool: Pool,
        sec: Sec,
        quiesce: QuiesceGate,
        loaded: Watch[LoadedBlueprint | None],
        recovery: Activator,
        dns: tuple[Activator, ...],
        log: Log,
        now: Callable[[], datetime],
    ) -> None:
        self._nexus_id = nexus_id
        self._pool = pool
        self._sec = sec
        self._quiesce = quiesce
        self._loaded = loaded
        self._recovery = recovery
        self._dns = dns
        self._log = log
        self._now = now

    async def activate(self) -> dict[str, object]:
        loaded = self._loaded.value
        if loaded is None:
            return {"error": "no blueprint"}
        self._see(loaded.blueprint)
        details: dict[str, object] = {"target_id": loaded.target.target_id, "enabled": loaded.target.enabled}
        if reason := why_not_to_execute(loaded.blueprint, self._nexus_id):
            # Whoever takes over the sagas of an expunged Nexus may have done so already.
            await self._sec.check_claims()
            return {**details, "error": reason}
        if not loaded.target.enabled:
            return details
        reassigned, report = await self._execute(loaded.blueprint)
        return {
            **details,
            "execution_error": None,
            "needs_saga_recovery": reassigned > 0,
            "event_report": report,
        }

    def _see(self, blueprint: Blueprint) -> None:
        """One that quiesces says so itself."""
        was_expunged = self._quiesce.is_expunged
        self._quiesce.see(blueprint)
        if self._quiesce.is_expunged and not was_expunged:
            self._log.warning("no new sagas from now on", reason=self._quiesce.sagas.reason)

    async def _execute(self, blueprint: Blueprint) -> tuple[int, EventReport]:
        """How many sagas were reassigned, and what was done."""
        reassigned = 0

        async def reassign() -> str:
            nonlocal reassigned
            reassigned, said = await self._reassign_sagas(blueprint)
            return said

        steps: dict[str, Callable[[], Awaitable[str]]] = {
            "Ensure db_metadata_nexus records exist": partial(self._ensure_nexus_states, blueprint),
            "Deploy DNS records": partial(self._deploy_dns, blueprint),
            "Cleanup expunged zones": partial(self._clean_up_expunged, blueprint),
            "Reassign sagas": reassign,
            "Abandon orphan sagas": partial(self._abandon_orphans, blueprint),
        }
        report = EventReport([await self._step(name, step) for name, step in steps.items()])
        return reassigned, report

    async def _step(self, description: str, step: Callable[[], Awaitable[str]]) -> StepReport:
        started = time.monotonic()
        try:
            message = await step()
        except NotTheTarget as error:
            self._log.debug("step of an execution left out", step=description, reason=str(error))
            return StepReport(description, "warning", str(error), _elapsed_ms(started))
        except (DatabaseUnavailable, psycopg.OperationalError, SagaError, NotInBlueprint) as error:
            self._log.warning("step of an execution failed", step=description, error=str(error))
            return StepReport(description, "warning", str(error), _elapsed_ms(started))
        return StepReport(description, "completed", message, _elapsed_ms(started))

    async def _ensure_nexus_states(self, blueprint: Blueprint) -> str:
        generation = own_generation(blueprint, self._nexus_id)

        async def ensure(connection: Connection) -> int:
            await _lock_target(connection, blueprint)
            return await insert_nexus_states(connection, blueprint, generation=generation)

        return _count(await self._pool.transaction(ensure), "record", "added")

    async def _deploy_dns(self, blueprint: Blueprint) -> str:
        now = self._now()
        generation = own_generation(blueprint, self._nexus_id)

        async def deploy(connection: Connection) -> list[str]:
            await _lock_target(connection, blueprint)
            locks = await lock_dns(connection)
            return await deploy_dns(
                connection, locks, blueprint, generation=generation, creator=str(self._nexus_id), now=now
            )

        changes = await self._pool.transaction(deploy)
        if changes:
            for activator in self._dns:
                activator.activate()
        return ", ".join(changes) or "no changes"

    async def _clean_up_expunged(self, blueprint: Blueprint) -> str:
        gone = [zone.id for zone in expunged_zones(blueprint, ready_for_cleanup=True)]

        async def delete(connection: Connection) -> int:
            await _lock_target(connection, blueprint)
            return await delete_nexus_states(connection, gone)

        deleted = await self._pool.transaction(delete)
        return _count(deleted, "db_metadata_nexus record", "deleted")

    async def _reassign_sagas(self, blueprint: Blueprint) -> tuple[int, str]:
        quiesce = self._quiesce
        check = partial(_check_target, blueprint=blueprint)
        await self._pool.transaction(check)
        moves = saga_moves(blueprint, self._nexus_id)
        quiesce.sagas = quiesce.sagas.reassignment_started()
        if not moves.reassign_from:
            quiesce.sagas = quiesce.sagas.reassigned(blueprint.id, moved=False)
            return 0, "no expunged Nexus of this generation is ready for cleanup"
        try:
            adoption = await self._sec.adopt([SecId(zone_id) for zone_id in moves.reassign_from], guard=check)
        except BaseException:  # also when it is cancelled
            quiesce.sagas = quiesce.sagas.reassignment_unsure()
            self._recovery.activate()
            raise
        if adoption.not_moved:
            quiesce.sagas = quiesce.sagas.reassignment_unsure()
        else:
            quiesce.sagas = quiesce.sagas.reassigned(blueprint.id, moved=bool(adoption.moved))
        if adoption.moved:
            self._log.info(
                "sagas reassigned to this Nexus",
                count=len(adoption.moved),
                blueprint_id=str(blueprint.id),
                expunged=", ".join(map(str, adoption.from_secs)),
            )
        if adoption.moved or adoption.not_moved:
            self._recovery.activate()
        said = _count(len(adoption.moved), "saga", "reassigned to this Nexus")
        if adoption.not_moved:
            said += f"; {len(adoption.not_moved)} locked by somebody, which the next execution tries again"
        return len(adoption.moved), said

    async def _abandon_orphans(self, blueprint: Blueprint) -> str:
        check = partial(_check_target, blueprint=blueprint)
        await self._pool.transaction(check)
        moves = saga_moves(blueprint, self._nexus_id)
        if not moves.orphaned:
            return "no expunged Nexus of an older generation is ready for cleanup"
        active = await self._pool.transaction(list_active)
        older = blueprint.older_nexuses(own_generation(blueprint, self._nexus_id))
        if able := [nexus_id for nexus_id in older if nexus_id in active]:
            return f"left to Nexuses of their generation that have not made way yet: {', '.join(map(str, able))}"
        secs = [SecId(zone_id) for zone_id in moves.orphaned]
        given_up = await self._sec.abandon_orphans(secs, comment=ORPHANED_COMMENT, guard=check)
        if given_up.abandoned:
            self._log.warning("orphaned sagas abandoned", count=len(given_up.abandoned))
        return _count(len(given_up.abandoned), "saga", "abandoned")


async def _lock_target(connection: Connection, blueprint: Blueprint) -> None:
    """Raises NotTheTarget."""
    _check_is_target((await lock_target(connection)).target, blueprint)


async def _check_target(connection: Connection, blueprint: Blueprint) -> None:
    """For transactions that move or give up sagas. Those are many, at several Nexuses at once, and wait up to a second
    for a row that is locked, so unlike `_lock_target` they keep nobody from changing the target. Raises NotTheTarget.

    That is enough. At every isolation level, one of them that commits after the target has changed had begun before
    that, so it ends within 5 s (`transaction_timeout`), whatever its process does, and it comes to the same as if it
    had been in time. Where this Nexus is expunged, whoever takes over its sagas takes those over, too, that it moves,
    and finds each of them here or where it was, locked for less long than it waits; or it takes it first, and then this
    one finds it taken. And what is orphaned by one target is so by all later ones.
    """
    _check_is_target(await read_target(connection), blueprint)


def _check_is_target(current: BlueprintTarget, blueprint: Blueprint) -> None:
    """That what is executed is the target still, and to be executed, raises NotTheTarget otherwise. So a Nexus that was
    stopped for long, and is expunged now, does nothing by what it knew.
    """
    if current.target_id != blueprint.id or not current.enabled:
        raise NotTheTarget(blueprint)


def _count(number: int, what: str, done: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'} {done}"


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
