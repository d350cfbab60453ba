"""The internal API's part about what the control plane is to consist of: blueprints, the target, the reconfigurator's
configuration, sleds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from dropshot.app import no_content, page_params, path_uuid, read_json, reply
from dropshot.errors import HttpError, bad_request
from dropshot.pagination import next_page_token
from nexus.api.types import ResultsPage, SledSelector, UninitializedSled
from nexus.db.blueprint_target import delete_unless_target, read_target, set_target, set_target_enabled
from nexus.db.blueprints import insert_blueprint, list_blueprints, read_blueprint
from nexus.db.child_blueprints import store_planned_blueprint
from nexus.db.reconfigurator_config import find_config, find_newest_config, insert_config
from nexus.db.sleds import expunge_sled
from nexus.deployment.blueprint import Blueprint, BlueprintTargetSet
from nexus.deployment.config import ReconfiguratorConfigParam
from nexus.ids import BlueprintId, SledId

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.app import App
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.deployment.blueprint import BlueprintTarget
    from nexus.deployment.config import ReconfiguratorConfigView
    from nexus.ids import NexusId
    from nexus.startup import Startup

    class TargetChange(Protocol):
        async def __call__(
            self, connection: Connection, target_id: BlueprintId, *, enabled: bool, now: datetime
        ) -> BlueprintTarget: ...


LOADER_TASK = "blueprint_loader"
CONFIG_TASK = "reconfigurator_config_watcher"
PLANNER_TASK = "blueprint_planner"

_U32_MAX = 2**32 - 1


def add_deployment_routes(app: App, startup: Startup, *, nexus_id: NexusId) -> None:
    _add_blueprint_routes(app, startup, nexus_id=nexus_id)
    _add_target_routes(app, startup)
    _add_config_routes(app, startup)
    _add_sled_routes(app, startup)


def _add_blueprint_routes(app: App, startup: Startup, *, nexus_id: NexusId) -> None:
    @app.get("/deployment/blueprints/all")
    async def blueprint_list() -> TrioResponse:
        pool = _database(startup)
        page = page_params()
        after = None if page.last_seen is None else BlueprintId(page.last_seen)
        listed = await pool.transaction(partial(list_blueprints, after=after, limit=page.limit))
        return reply(ResultsPage(listed, next_page_token(listed[-1].id if listed else None)))

    @app.get("/deployment/blueprints/all/<blueprint_id>")
    async def blueprint_view(blueprint_id: str) -> TrioResponse:
        id_ = BlueprintId(path_uuid(blueprint_id, "blueprint_id"))
        return reply(await _database(startup).transaction(lambda connection: read_blueprint(connection, id_)))

    @app.delete("/deployment/blueprints/all/<blueprint_id>")
    async def blueprint_delete(blueprint_id: str) -> TrioResponse:
        id_ = BlueprintId(path_uuid(blueprint_id, "blueprint_id"))
        await _database(startup).transaction(lambda connection: delete_unless_target(connection, id_))
        return no_content()

    @app.post("/deployment/blueprints/regenerate")
    async def blueprint_regenerate() -> TrioResponse:
        made = await _database(startup).transaction(
            partial(
                store_planned_blueprint,
                blueprint_id=BlueprintId(uuid4()),
                creator=str(nexus_id),
                now=datetime.now(UTC),
            )
        )
        return reply(made)

    @app.post("/deployment/blueprints/import")
    async def blueprint_import() -> TrioResponse:
        blueprint = await read_json(Blueprint)
        await _database(startup).transaction(lambda connection: insert_blueprint(connection, blueprint))
        return no_content()


def _add_target_routes(app: App, startup: Startup) -> None:
    @app.get("/deployment/blueprints/target")
    async def blueprint_target_view() -> TrioResponse:
        return reply(await _database(startup).transaction(read_target))

    @app.post("/deployment/blueprints/target")
    async def blueprint_target_set() -> TrioResponse:
        return await change_target(set_target)

    @app.put("/deployment/blueprints/target/enabled")
    async def blueprint_target_set_enabled() -> TrioResponse:
        return await change_target(set_target_enabled)

    async def change_target(change: TargetChange) -> TrioResponse:
        pool = _database(startup)
        wanted = await read_json(BlueprintTargetSet)
        now = datetime.now(UTC)
        target = await pool.transaction(
            lambda connection: change(connection, wanted.target_id, enabled=wanted.enabled, now=now)
        )
        startup.services.driver.activate([LOADER_TASK])
        return reply(target)


def _add_config_routes(app: App, startup: Startup) -> None:
    @app.get("/deployment/reconfigurator-config")
    async def reconfigurator_config_show_current() -> TrioResponse:
        return _config_reply(await _database(startup).transaction(find_newest_config))

    @app.get("/deployment/reconfigurator-config/<version>")
    async def reconfigurator_config_show(version: str) -> TrioResponse:
        number = _path_version(version)
        return _config_reply(await _database(startup).transaction(lambda connection: find_config(connection, number)))

    @app.post("/deployment/reconfigurator-config")
    async def reconfigurator_config_set() -> TrioResponse:
        pool = _database(startup)
        wanted = await read_json(ReconfiguratorConfigParam)
        now = datetime.now(UTC)
        await pool.transaction(lambda connection: insert_config(connection, wanted, now=now))
        startup.services.driver.activate([CONFIG_TASK])
        return no_content()


def _config_reply(config: ReconfiguratorConfigView | None) -> TrioResponse:
    if config is None:
        raise HttpError(404, "Not Found", internal_message="no such version of the reconfigurator's configuration")
    return reply(config)


def _path_version(text: str) -> int:
    if re.fullmatch("[0-9]{1,10}", text) is None or int(text) > _U32_MAX:
        raise bad_request(f'bad parameter in URL path: version: expected a whole number up to {_U32_MAX}, got "{text}"')
    return int(text)


def _add_sled_routes(app: App, startup: Startup) -> None:
    @app.get("/sleds/uninitialized")
    async def sled_list_uninitialized() -> TrioResponse:
        # Upstream finds them in its inventory. There is none here: every sled belongs to the control plane already.
        _database(startup)
        return reply(ResultsPage[UninitializedSled]([], None))

    @app.post("/sleds/expunge")
    async def sled_expunge() -> TrioResponse:
        pool = _database(startup)
        sled_id = SledId((await read_json(SledSelector)).sled)
        now = datetime.now(UTC)
        previous = await pool.transaction(lambda connection: expunge_sled(connection, sled_id, now=now))
        startup.services.driver.activate([PLANNER_TASK])
        return reply(previous)


def _database(startup: Startup) -> Pool:
    """Raises ServiceUnavailable until everything runs: only then there is a target for sure."""
    _ = startup.services
    return startup.database
