"""The internal API: sagas, background tasks, the demo saga, quiescing, and the end of rack setup.

It carries what upstream splits into "internal" and "lockstep", with upstream's paths and shapes.
Blueprints, their target and sleds are in `routes_deployment.py`, what upstream does not have in
`routes_experimental.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dropshot.app import no_content, page_params, path_uuid, read_json, reply
from dropshot.pagination import next_page_token
from nexus.api.http_errors import answer_errors
from nexus.api.quiesce_types import HeldDbClaimInfo
from nexus.api.routes_deployment import add_deployment_routes
from nexus.api.routes_experimental import add_experimental_routes
from nexus.api.saga_views import saga_view
from nexus.api.types import BackgroundTasksActivate, DemoSaga, NeverCompleted, Ping, ResultsPage
from nexus.background.driver import UnknownTasks
from nexus.db.rack import initialize_rack
from nexus.errors import NotFound, ObjectNotFound, ServiceUnavailable
from nexus.ids import DemoSagaId, NexusId, RackId
from nexus.rack import RackInitialization
from nexus.saga.ids import SagaId

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.app import App
    from nexus.startup import Services, Startup

RECOVERY_TASK = "saga_recovery"

RACK_DATABASE_TIMEOUT_S = 5.0
"""Rack setup comes first of all, often before the database is up; better to wait a moment than to be asked again."""


def add_internal_routes(app: App, startup: Startup, *, nexus_id: NexusId) -> None:
    answer_errors(app)
    _add_saga_routes(app, startup)
    _add_demo_saga_routes(app, startup)
    _add_background_task_routes(app, startup)
    _add_quiesce_routes(app, startup)
    add_deployment_routes(app, startup, nexus_id=nexus_id)
    add_experimental_routes(app, startup, nexus_id=nexus_id)

    @app.get("/v1/ping")
    async def ping() -> TrioResponse:
        return reply(Ping())

    @app.put("/racks/<rack_id>/initialization-complete")
    async def rack_initialization_complete(rack_id: str) -> TrioResponse:
        rack = RackId(path_uuid(rack_id, "rack_id"))
        handoff = await read_json(RackInitialization)
        pool = await startup.wait_for_database(timeout_s=RACK_DATABASE_TIMEOUT_S)
        now = datetime.now(UTC)
        await pool.transaction(
            lambda connection: initialize_rack(connection, rack, handoff, nexus_id=nexus_id, now=now)
        )
        startup.look_again()
        return no_content()


def _add_saga_routes(app: App, startup: Startup) -> None:
    @app.get("/sagas")
    async def saga_list() -> TrioResponse:
        page = page_params()
        after = None if page.last_seen is None else SagaId(page.last_seen)
        sagas = [saga_view(status) for status in startup.services.sec.sagas(after=after, limit=page.limit)]
        return reply(ResultsPage(sagas, next_page_token(sagas[-1].id if sagas else None)))

    @app.get("/sagas/<saga_id>")
    async def saga_view_one(saga_id: str) -> TrioResponse:
        id_ = SagaId(path_uuid(saga_id, "saga_id"))
        return reply(saga_view(startup.services.sec.saga(id_)))


def _add_demo_saga_routes(app: App, startup: Startup) -> None:
    @app.post("/demo-saga")
    async def saga_demo_create() -> TrioResponse:
        services = startup.services
        saga_id, demo_saga_id = await services.catalog.demo_sagas.create(services.sec)
        return reply(DemoSaga(saga_id, demo_saga_id))

    @app.post("/demo-saga/<demo_saga_id>/complete")
    async def saga_demo_complete(demo_saga_id: str) -> TrioResponse:
        id_ = DemoSagaId(path_uuid(demo_saga_id, "demo_saga_id"))
        services = startup.services
        try:
            await services.catalog.demo_sagas.complete(id_, services.sec)
        except NotFound:
            if _recovery_is_due(services):
                raise ServiceUnavailable("sagas are being recovered; try again") from None
            raise
        return no_content()


def _recovery_is_due(services: Services) -> bool:
    """Whether sagas of an earlier process may be there that this one does not know yet."""
    return isinstance(services.driver.status(RECOVERY_TASK).last, NeverCompleted)


def _add_quiesce_routes(app: App, startup: Startup) -> None:
    @app.get("/quiesce")
    async def quiesce_get() -> TrioResponse:
        services = startup.services
        claims = [HeldDbClaimInfo(claim.number, claim.since, claim.task) for claim in startup.database.claims()]
        return reply(services.quiesce.status(services.sec.pending(), claims))

    @app.post("/quiesce")
    async def quiesce_start() -> TrioResponse:
        startup.services.quiesce.request()
        return no_content()


def _add_background_task_routes(app: App, startup: Startup) -> None:
    @app.get("/bgtasks")
    async def bgtask_list() -> TrioResponse:
        return reply(startup.services.driver.statuses())

    @app.get("/bgtasks/view/<bgtask_name>")
    async def bgtask_view(bgtask_name: str) -> TrioResponse:
        driver = startup.services.driver
        try:
            return reply(driver.status(bgtask_name))
        except UnknownTasks:
            raise ObjectNotFound.by_name("background-task", bgtask_name) from None

    @app.post("/bgtasks/activate")
    async def bgtask_activate() -> TrioResponse:
        names = (await read_json(BackgroundTasksActivate)).bgtask_names
        driver = startup.services.driver
        if driver.stopped is not None:
            raise ServiceUnavailable(driver.stopped)
        try:
            driver.activate(names)
        except UnknownTasks as exc:
            raise ObjectNotFound.by_names("background tasks", exc.names) from None
        return no_content()
