"""What upstream's internal API does not have, under `/experimental`: making sagas by name, releasing held ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropshot.app import path_uuid, read_json, reply
from nexus.api.experimental_types import CreatedSagas, CreateSagas, ReleasedNodes, ReleaseSaga
from nexus.api.saga_views import saga_type_view
from nexus.saga.ids import SagaId
from nexus.sagas.bulk import create_sagas

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.app import App
    from nexus.startup import Startup


def add_experimental_routes(app: App, startup: Startup) -> None:
    @app.get("/experimental/saga-types")
    async def saga_type_list() -> TrioResponse:
        types = startup.services.catalog.types
        return reply([saga_type_view(each, types.sample(each.name)) for each in types])

    @app.post("/experimental/sagas")
    async def saga_create() -> TrioResponse:
        services = startup.services
        wanted = await read_json(CreateSagas)
        params = bytes(wanted.params) or None
        dags = services.catalog.types.dags(wanted.name, params, count=wanted.count)
        return reply(CreatedSagas([*await create_sagas(services.sec, dags)]))

    @app.post("/experimental/sagas/<saga_id>/release")
    async def saga_release(saga_id: str) -> TrioResponse:
        id_ = SagaId(path_uuid(saga_id, "saga_id"))
        services = startup.services
        wanted = await read_json(ReleaseSaga)
        return reply(ReleasedNodes(services.catalog.holds.release(id_, wanted.node_name, services.sec)))
