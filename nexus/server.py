"""One Nexus process: the root nursery, and everything that runs in it.

    internal API ── at once; what is not there yet makes its requests a 503 with the reason
    external API ── its address is taken at once, and served when the rest is up
    database, schema, rack, internal DNS, its generation's turn ── waited for, saying so
    SEC id entered ── own zone in service ── SEC ── background tasks ── target blueprint seen ── external API ── ready

SIGINT and SIGTERM cancel the root nursery; so does a newer process of the same id, see `nexus.incarnation`. There is no
orderly end for sagas: cancellation is a crash, and whoever has this Nexus' id next recovers them. A database that goes
away ends nothing here.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import trio

from dropshot.app import new_app
from dropshot.exception_groups import leaves
from dropshot.server import ListenError, reserve, serve
from nexus.api.routes_external import add_external_routes
from nexus.api.routes_internal import add_internal_routes
from nexus.background.driver import Driver
from nexus.background.wiring import build_tasks
from nexus.clients.dns_lookup import lookup_service
from nexus.clients.resolver import INTERNAL_ZONE, ResolverError
from nexus.config import DatabaseFromUrl
from nexus.db.errors import DatabaseUnavailable
from nexus.db.nexus_states import take_turn
from nexus.db.own_zone import NotItsTurn, put_in_service
from nexus.db.pool import open_pool
from nexus.db.rack import find_rack
from nexus.db.schema_version import SCHEMA_VERSION, read_schema_version
from nexus.deployment.edits import EditRefused
from nexus.deployment.nexus_states import AwaitHandoff, AwaitRecord, NexusQuiesced, TakeOver, UseDatabase
from nexus.deployment.own_zone import NexusExpunged
from nexus.ids import NexusId, RackId
from nexus.incarnation import Incarnation
from nexus.login import Logins
from nexus.notify import Notifier
from nexus.quiesce.gate import QuiesceGate
from nexus.quiesce.sequence import QuiesceSequence
from nexus.saga.errors import SecSuperseded
from nexus.saga.ids import SecId
from nexus.saga.postgres import PostgresSecStore
from nexus.saga.sec import Sec
from nexus.sagas.catalog import open_catalog
from nexus.sagas.saga_types import SagaTypeError
from nexus.startup import Services, Standby, Startup

if TYPE_CHECKING:
    from dropshot.address import SocketAddr
    from dropshot.logging import Log
    from nexus.config import DropshotConfig, NexusConfig
    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.sagas.catalog import SagaCatalog

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

DATABASE_SERVICE = f"_cockroach._tcp.{INTERNAL_ZONE}"
NAME_SERVICE = f"_nameservice._tcp.{INTERNAL_ZONE}"
"""What background tasks look up first: internal DNS that knows it has been given its zone."""

QUIESCE_STATE_QUIET_S = 1.0
"""The tasks that have only just been started mostly find it out in milliseconds: that is no wait to be told of."""


class StartupError(Exception):
    """This Nexus cannot start, and waiting would not help. One line for the user."""


class ZoneExpunged(StartupError):
    def __init__(self, expunged: NexusExpunged) -> None:
        super().__init__(f"this Nexus is expunged, and never comes back: {expunged} (deployment.id)")


async def serve_until_signalled(config: NexusConfig, log: Log) -> None:
    """Run a Nexus until SIGINT or SIGTERM. Raises StartupError, in a group."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_nexus, config, log=log, notifier=Notifier.from_environment()))
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                nursery.cancel_scope.cancel()


async def serve_nexus(config: NexusConfig, *, log: Log, notifier: Notifier) -> None:
    """Run a Nexus until cancelled.

    Raises StartupError if one of its addresses or saga modules cannot be had or its zone is expunged, Superseded if
    another process of its id is started.
    """
    startup = Startup(log=log, notifier=notifier)
    try:
        catalog = open_catalog(config.sagas.modules, find_pool=lambda: startup.database)
    except SagaTypeError as error:
        raise StartupError(str(error)) from error
    log_not_simulated(config, log)
    try:
        with reserve(config.deployment.dropshot_external.address) as external_address:
            async with trio.open_nursery() as nursery:
                internal_address = await _serve_internal(nursery, config, startup, log=log)
                notifier.send(
                    X_INTERNAL_ADDRESS=str(internal_address), X_EXTERNAL_ADDRESS=str(external_address.address)
                )
                database_url = await _database_url(config, startup)
                database_log = log.bind(component="database")
                async with (
                    open_pool(database_url, log=database_log) as pool,
                    open_pool(database_url, size=1, log=database_log) as last_word,
                ):
                    await _wait_for_world(config, startup, pool)
                    await _take_turn(config, startup, pool)
                    incarnation = await _enter(config, startup, last_word, log=log)
                    await _put_in_service(
                        config,
                        startup,
                        pool,
                        incarnation,
                        internal_address=internal_address,
                        external=external_address.address,
                        log=log,
                    )
                    services = await _start_services(nursery, config, pool, catalog, incarnation, log=log)
                    startup.is_up(services)
                    sequence = QuiesceSequence(
                        NexusId(config.deployment.id),
                        gate=services.quiesce,
                        sec=services.sec,
                        stop_tasks=services.driver.stop,
                        guard=incarnation.guard,
                        pool=pool,
                        last_word=last_word,
                        log=log.bind(component="quiesce"),
                    )
                    nursery.start_soon(sequence.run)
                    with trio.move_on_after(QUIESCE_STATE_QUIET_S):
                        await services.quiesce.wait_known()
                    await startup.wait_until("quiesce state", services.quiesce.waits_for)
                    external = config.deployment.dropshot_external
                    app = new_app("dropshot_external", log=log, max_body_bytes=external.default_request_body_max_bytes)
                    add_external_routes(app, startup)
                    await nursery.start(partial(serve, app, external_address, log=log))
                    log.info("ready")
                    notifier.ready()
                    await trio.sleep_forever()
    except* ListenError as group:
        raise StartupError("; ".join(str(error) for error in leaves(group))) from None


def log_not_simulated(config: NexusConfig, log: Log) -> None:
    """Say once which keys of the file mean nothing here."""
    tasks = [key for key in config.not_simulated if key.startswith("background_tasks.")]
    keys = [key for key in config.not_simulated if key not in tasks]
    if tasks:
        keys.append(f"background_tasks ({len(tasks)} of them)")
    if keys:
        log.info("not simulated, so not looked at in the configuration", keys=", ".join(keys))


async def _serve_internal(nursery: trio.Nursery, config: NexusConfig, startup: Startup, *, log: Log) -> SocketAddr:
    """Serve the internal API, twice if there is a lockstep section; returns where it is internal. `nursery` is the root
    nursery, where servers run.
    """
    deployment = config.deployment

    async def start(component: str, where: DropshotConfig) -> SocketAddr:
        app = new_app(component, log=log, max_body_bytes=where.default_request_body_max_bytes)
        add_internal_routes(app, startup, nexus_id=NexusId(deployment.id))
        address: SocketAddr = await nursery.start(partial(serve, app, where.address, log=log))
        return address

    address = await start("dropshot_internal", deployment.dropshot_internal)
    if deployment.dropshot_lockstep is not None:
        await start("dropshot_lockstep", deployment.dropshot_lockstep)
    return address


async def _database_url(config: NexusConfig, startup: Startup) -> str:
    database = config.deployment.database
    if isinstance(database, DatabaseFromUrl):
        return database.url
    found: list[SocketAddr] = []

    async def look_up() -> str | None:
        try:
            found[:] = await lookup_service(DATABASE_SERVICE, servers=config.deployment.internal_dns.servers)
        except ResolverError as exc:
            return f"internal DNS to name the database: {exc}"
        return None

    await startup.wait_until("database address", look_up)
    return f"postgresql://root@{','.join(map(str, found))}/omicron?sslmode=disable"


async def _wait_for_world(config: NexusConfig, startup: Startup, pool: Pool) -> None:
    """Wait for all that a Nexus needs and does not make itself."""
    dns_servers = config.deployment.internal_dns.servers

    async def dns_answers() -> str | None:
        try:
            await lookup_service(NAME_SERVICE, servers=dns_servers)
        except ResolverError as exc:
            return f"internal DNS at {', '.join(map(str, dns_servers))}: {exc}"
        return None

    async def database_has_schema() -> str | None:
        try:
            async with pool.connection() as connection:
                version = await read_schema_version(connection)
        except (DatabaseUnavailable, psycopg.OperationalError) as exc:
            return _database_trouble(exc, pool)
        if version is None:
            return f"the schema of the database at {pool.address}"
        if version != SCHEMA_VERSION:
            return f"schema version {SCHEMA_VERSION} of the database at {pool.address}, which has version {version}"
        return None

    async def rack_is_initialized() -> str | None:
        try:
            async with pool.connection() as connection:
                rack_id = await find_rack(connection)
        except (DatabaseUnavailable, psycopg.OperationalError) as exc:
            return _database_trouble(exc, pool)
        if rack_id is None:
            return "rack initialization"
        if rack_id != RackId(config.deployment.rack_id):
            return f"rack {config.deployment.rack_id}: the database at {pool.address} belongs to rack {rack_id}"
        return None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(startup.wait_until, "internal DNS", dns_answers)
        await startup.wait_until("database", database_has_schema)
        startup.has_database(pool)
        await startup.wait_until("rack", rack_is_initialized)


def _database_trouble(error: Exception, pool: Pool) -> str:
    """Said after "waiting for"."""
    unavailable = isinstance(error, DatabaseUnavailable)
    return f"the database, as {error}" if unavailable else f"the database at {pool.address}: {error}"


async def _take_turn(config: NexusConfig, startup: Startup, pool: Pool) -> None:
    """Wait until it is this Nexus' generation's turn. Raises StartupError if that is over, or this Nexus expunged."""

    async def take() -> str | Standby | None:
        try:
            turn = await pool.transaction(partial(take_turn, nexus_id=NexusId(config.deployment.id)))
        except (DatabaseUnavailable, psycopg.OperationalError) as exc:
            return _database_trouble(exc, pool)
        except NexusQuiesced as exc:
            raise StartupError(str(exc)) from None
        except NexusExpunged as exc:
            raise ZoneExpunged(exc) from None
        return None if isinstance(turn, UseDatabase | TakeOver) else _waits_for(turn)

    await startup.wait_until("turn", take)


def _waits_for(turn: AwaitRecord | AwaitHandoff) -> str | Standby:
    return Standby(turn.reason) if isinstance(turn, AwaitHandoff) else turn.reason


async def _enter(config: NexusConfig, startup: Startup, pool: Pool, *, log: Log) -> Incarnation:
    """From here on an older process of this id takes no saga any more."""
    entered: list[Incarnation] = []

    async def enter() -> str | None:
        try:
            entered.append(await Incarnation.enter(pool, SecId(config.deployment.id), log=log))
        except (DatabaseUnavailable, psycopg.OperationalError) as exc:
            return _database_trouble(exc, pool)
        return None

    await startup.wait_until("SEC id", enter)
    return entered[-1]


async def _put_in_service(
    config: NexusConfig,
    startup: Startup,
    pool: Pool,
    incarnation: Incarnation,
    *,
    internal_address: SocketAddr,
    external: SocketAddr,
    log: Log,
) -> None:
    """Raises StartupError if this Nexus is expunged, Superseded if another process of its id is started."""
    nexus_id = NexusId(config.deployment.id)

    async def put(connection: Connection) -> list[str]:
        changes = await put_in_service(
            connection,
            nexus_id,
            internal_address=internal_address,
            external_ip=external.host,
            now=datetime.now(UTC),
        )
        # Not before that has locked the target: who expunges this Nexus locks its SEC id after the target.
        await incarnation.guard(connection)
        return changes

    async def record() -> str | Standby | None:
        try:
            changes = await pool.transaction(put)
        except (DatabaseUnavailable, psycopg.OperationalError) as exc:
            return _database_trouble(exc, pool)
        except SecSuperseded:
            await incarnation.watch(dispelled=lambda: None)
        except NexusExpunged as exc:
            raise ZoneExpunged(exc) from None
        except NexusQuiesced as exc:
            raise StartupError(str(exc)) from None
        except NotItsTurn as exc:
            return _waits_for(exc.turn)
        except EditRefused as exc:
            return f"a zone of its own: {exc}"
        log.info("nexus zone in service", changes=", ".join(changes) or "none")
        return None

    await startup.wait_until("own zone", record)


async def _start_services(
    nursery: trio.Nursery,
    config: NexusConfig,
    pool: Pool,
    catalog: SagaCatalog,
    incarnation: Incarnation,
    *,
    log: Log,
) -> Services:
    """Start the SEC and the background tasks, in the root nursery."""
    quiesce = QuiesceGate(NexusId(config.deployment.id), now=lambda: datetime.now(UTC))
    sec_log = log.bind(component="SEC")
    sec = Sec(
        SecId(config.deployment.id),
        store=PostgresSecStore(pool, log=sec_log, guard=incarnation.guard, creation_guard=incarnation.guard_creation),
        registry=catalog.types.registry,
        log=sec_log,
        history=config.sagas.finished_in_memory,
        admit=quiesce.admit,
        on_lost=incarnation.doubt,
    )
    await nursery.start(sec.run)
    background_log = log.bind(component="BackgroundTasks")
    definitions = build_tasks(
        config.background_tasks,
        console=config.console,
        pool=pool,
        sec=sec,
        quiesce=quiesce,
        nexus_id=NexusId(config.deployment.id),
        internal_dns=config.deployment.internal_dns.servers,
        log=background_log,
    )
    driver = Driver(definitions, log=background_log)
    await nursery.start(driver.run)
    # A saga that was lost though nobody else has this id may have been repaired by hand, and be this SEC's to resume.
    # Or this Nexus is expunged, which is also why it is refused new ones.
    look_again = partial(driver.activate, ["saga_recovery", "blueprint_loader"])
    nursery.start_soon(partial(incarnation.watch, dispelled=look_again))
    logins = Logins(
        pool,
        idle_timeout=timedelta(minutes=config.console.session_idle_timeout_minutes),
        absolute_timeout=timedelta(minutes=config.console.session_absolute_timeout_minutes),
    )
    return Services(sec, driver, catalog, logins, quiesce)
