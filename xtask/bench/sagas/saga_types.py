"""The benched saga: one action, which returns at once. Nexus is told to import this module, too.

In the database a run of it is one row of `saga`, one of `saga_claim`, six events and one update of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from nexus.saga.action import Action
from nexus.saga.dag_builder import DagBuilder
from nexus.sagas.saga_types import SagaType

if TYPE_CHECKING:
    from nexus.saga.action import ActionContext
    from nexus.saga.dag import SagaDag

NAME = "bench"


async def act(_context: ActionContext[int]) -> None:
    await trio.lowlevel.checkpoint()


async def wait(_context: ActionContext[int]) -> None:
    await trio.sleep_forever()


ACT = Action("bench.act", act, params=int)

PARKED = Action("bench.act", wait, params=int)
"""In its place, where sagas are to wait."""


def dag(params: int) -> SagaDag:
    return DagBuilder(NAME).append(ACT.node("act")).build(params)


SAGA_TYPES = [SagaType(NAME, int, dag, [ACT], default_params=lambda: 0)]
