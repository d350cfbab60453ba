"""Making many sagas at once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from nexus.errors import ServiceUnavailable
from nexus.saga import SagaError, SagaId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.saga import SagaDag, Sec
    from nexus.saga.injection import Injection

AT_ONCE = 256
"""Creations that wait for the database at the same time. It takes them in batches; more would only hold memory."""


async def create_sagas(sec: Sec, dags: Sequence[SagaDag], *, injections: Sequence[Injection] = ()) -> list[SagaId]:
    """Make a saga of each DAG, each with these injections; returns their ids once all are durable and run.

    Raises ServiceUnavailable if some could not be made: it says how many there are now. Any other error of
    `Sec.create` is raised as it is.
    """
    created: list[SagaId] = []
    refused: list[SagaError] = []
    waiting = iter(dags)

    async def create_some() -> None:
        for dag in waiting:
            saga_id = SagaId(uuid4())
            try:
                await sec.create(saga_id, dag, injections=injections)
            except SagaError as error:
                refused.append(error)
                return
            created.append(saga_id)

    async with trio.open_nursery() as nursery:
        for _ in range(min(AT_ONCE, len(dags))):
            nursery.start_soon(create_some)
    if not refused:
        return created
    if len(dags) == 1 or not refused[0].retryable:
        raise refused[0]
    raise ServiceUnavailable(f"of {len(dags)} sagas {len(created)} were created, then: {refused[0]}")
