"""What upstream's internal API does not have, under `/experimental`: making sagas by name, looking at them node by
node, breaking them on purpose, releasing held ones; and editing blueprints.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import trio

from dropshot.app import current_request, no_content, path_uuid, read_json, reply
from nexus.api.experimental_types import CreatedSagas, CreateSagas, EditBlueprint, Injection, ReleasedNodes, ReleaseSaga
from nexus.api.routes_deployment import LOADER_TASK
from nexus.api.saga_views import injection, saga_details_view, saga_type_view, waiting_saga_views
from nexus.db.child_blueprints import store_edited_blueprint
from nexus.db.errors import DatabaseUnavailable
from nexus.db.saga_history import list_claims
from nexus.db.target_edits import make_edited_target
from nexus.ids import BlueprintId
from nexus.saga.ids import SagaId
from nexus.sagas.bulk import create_sagas
from nexus.sagas.saga_types import SagaTypeFailed

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.app import App
    from nexus.api.experimental_types import WaitingSaga
    from nexus.db.saga_reads import ClaimRecord
    from nexus.ids import NexusId
    from nexus.startup import Startup

TARGET = "target"
"""In the place of a blueprint's id: whichever is the target then."""

HISTORY_TIMEOUT_S = 1.0
SAGAS_AT_ONCE = 1_000
"""Looked at without a pause: a few milliseconds."""


def add_experimental_routes(app: App, startup: Startup, *, nexus_id: NexusId) -> None:
    _add_saga_routes(app, startup)

    @app.post("/experimental/blueprints/<blueprint_id>/edit")
    async def blueprint_edit(blueprint_id: str) -> TrioResponse:
        parent_id = None if blueprint_id == TARGET else BlueprintId(path_uuid(blueprint_id, "blueprint_id"))
        services = startup.services
        wanted = await read_json(EditBlueprint)
        made = await startup.database.transaction(
            partial(
                make_edited_target if wanted.set_target else store_edited_blueprint,
                parent_id=parent_id,
                edits=wanted.edits,
                blueprint_id=BlueprintId(uuid4()),
                creator=str(nexus_id),
                comment=wanted.comment,
                now=datetime.now(UTC),
            )
        )
        if wanted.set_target:
            services.driver.activate([LOADER_TASK])
        return reply(made)


def _add_saga_routes(app: App, startup: Startup) -> None:
    @app.get("/experimental/saga-types")
    async def saga_type_list() -> TrioResponse:
        types = startup.services.catalog.types
        return reply([saga_type_view(each, types.sample(each.name)) for each in types])

    @app.post("/experimental/sagas")
    async def saga_create() -> TrioResponse:
        services = startup.services
        wanted = await read_json(CreateSagas)
        params = bytes(wanted.params) or None
        try:
            dags = services.catalog.types.dags(wanted.name, params, count=wanted.count)
        except SagaTypeFailed as error:
            current_request().log.error("saga type failed", saga_type=wanted.name, exc_info=error.__cause__)
            raise
        injections = [injection(each) for each in wanted.injections]
        return reply(CreatedSagas([*await create_sagas(services.sec, dags, injections=injections)]))

    @app.get("/experimental/waiting-sagas")
    async def waiting_saga_list() -> TrioResponse:
        sec = startup.services.sec
        waiting: list[WaitingSaga] = []
        after: SagaId | None = None
        while page := sec.sagas(after=after, limit=SAGAS_AT_ONCE):
            waiting += waiting_saga_views(page)
            after = page[-1].saga_id
            await trio.lowlevel.checkpoint()
        return reply(waiting)

    @app.get("/experimental/sagas/<saga_id>")
    async def saga_details(saga_id: str) -> TrioResponse:
        id_ = SagaId(path_uuid(saga_id, "saga_id"))
        services = startup.services
        history = await _history(startup, id_)
        held = services.catalog.holds.held(id_)
        details = services.sec.details(id_)
        return reply(saga_details_view(details, sec_id=services.sec.sec_id, held=held, history=history))

    @app.post("/experimental/sagas/<saga_id>/inject")
    async def saga_inject(saga_id: str) -> TrioResponse:
        id_ = SagaId(path_uuid(saga_id, "saga_id"))
        sec = startup.services.sec
        wanted: Injection = await read_json(Injection)  # type: ignore[arg-type]
        sec.inject(id_, injection(wanted))
        return no_content()

    @app.post("/experimental/sagas/<saga_id>/release")
    async def saga_release(saga_id: str) -> TrioResponse:
        id_ = SagaId(path_uuid(saga_id, "saga_id"))
        services = startup.services
        wanted = await read_json(ReleaseSaga)
        holds = services.catalog.holds
        held = wanted.node_name is None or wanted.node_name in holds.held(id_)
        return reply(ReleasedNodes(holds.release(id_, wanted.node_name, services.sec), held))


async def _history(startup: Startup, saga_id: SagaId) -> list[ClaimRecord] | None:
    """What is in memory is shown also while the database is away, so this gives up early."""
    with trio.move_on_after(HISTORY_TIMEOUT_S):
        try:
            async with startup.database.connection() as connection:
                return await list_claims(connection, saga_id)
        except (DatabaseUnavailable, psycopg.OperationalError):
            return None
    return None
