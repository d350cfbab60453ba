"""The background tasks of a Nexus: their names, descriptions, periods, and who depends on whom.

dns_config_<group> ───config───┐
                               ├──> dns_propagation_<group>
dns_servers_<group> ──servers──┘

reconfigurator_config_watcher ──config──> blueprint_planner ─ ─ ─┐
                                               ↑                 ├ ─ > blueprint_loader (there is another target)
                        ┌─────────blueprint────┼──> expunged_zone_watcher ┘
    blueprint_loader ───┴──> blueprint_executor ─ ─ > saga_recovery, dns_config_<group>
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from nexus.background.activator import Activator, Watch
from nexus.background.driver import TaskDefinition, utc_now
from nexus.background.tasks.blueprint_executor import BlueprintExecutor
from nexus.background.tasks.blueprint_loader import BlueprintLoader
from nexus.background.tasks.blueprint_planner import BlueprintPlanner
from nexus.background.tasks.dns_config import DnsConfigTask
from nexus.background.tasks.dns_propagation import DnsPropagationTask
from nexus.background.tasks.dns_servers import DnsServersTask
from nexus.background.tasks.expunged_zone_watcher import ExpungedZoneWatcher
from nexus.background.tasks.external_endpoints import ExternalEndpointsTask
from nexus.background.tasks.reconfigurator_config import ReconfiguratorConfigWatcher
from nexus.background.tasks.saga_recovery import SagaRecovery
from nexus.background.tasks.session_cleanup import SessionCleanup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dropshot.address import SocketAddr
    from dropshot.logging import Log
    from nexus.config import BackgroundTasksConfig, BlueprintTasksConfig, ConsoleConfig, DnsTasksConfig
    from nexus.db.pool import Pool
    from nexus.deployment.config import ReconfiguratorConfigView
    from nexus.deployment.loaded import LoadedBlueprint
    from nexus.dns_types import DnsConfigParams, DnsGroup
    from nexus.ids import NexusId
    from nexus.quiesce.gate import QuiesceGate
    from nexus.saga.sec import Sec


def build_tasks(
    config: BackgroundTasksConfig,
    *,
    console: ConsoleConfig,
    pool: Pool,
    sec: Sec,
    quiesce: QuiesceGate,
    nexus_id: NexusId,
    internal_dns: Sequence[SocketAddr],
    log: Log,
) -> list[TaskDefinition]:
    """All tasks, for `Driver`. `internal_dns` is where the internal DNS servers answer queries."""
    internal = _dns_tasks("internal", config.dns_internal, pool=pool, internal_dns=internal_dns, log=log)
    external = _dns_tasks("external", config.dns_external, pool=pool, internal_dns=internal_dns, log=log)
    recovery = TaskDefinition(
        name="saga_recovery",
        description="resumes the sagas that are assigned to this Nexus and that it does not run yet",
        period_s=config.saga_recovery.period_secs,
        task=SagaRecovery(sec, quiesce=quiesce, log=log.bind(background_task="saga_recovery"), now=utc_now),
    )
    return [
        *internal,
        *external,
        *_blueprint_tasks(
            config.blueprints,
            pool=pool,
            sec=sec,
            quiesce=quiesce,
            nexus_id=nexus_id,
            recovery=recovery.activator,
            dns=(internal[0].activator, external[0].activator),
            log=log,
        ),
        recovery,
        TaskDefinition(
            name="external_endpoints",
            description="works out the DNS names under which clients reach the external API, and the silo behind each",
            period_s=config.external_endpoints.period_secs,
            task=ExternalEndpointsTask(pool=pool),
        ),
        TaskDefinition(
            name="session_cleanup",
            description="deletes the web console's sessions that have run out",
            period_s=config.session_cleanup.period_secs,
            task=SessionCleanup(
                pool=pool,
                idle_timeout=timedelta(minutes=console.session_idle_timeout_minutes),
                absolute_timeout=timedelta(minutes=console.session_absolute_timeout_minutes),
                limit=config.session_cleanup.max_delete_per_activation,
                now=utc_now,
            ),
        ),
    ]


def _blueprint_tasks(
    config: BlueprintTasksConfig,
    *,
    pool: Pool,
    sec: Sec,
    quiesce: QuiesceGate,
    nexus_id: NexusId,
    recovery: Activator,
    dns: tuple[Activator, ...],
    log: Log,
) -> list[TaskDefinition]:
    """`recovery` and `dns` set going what is to follow on an execution."""
    loaded: Watch[LoadedBlueprint | None] = Watch(None)
    reconfigurator_config: Watch[ReconfiguratorConfigView | None] = Watch(None)
    loader = Activator()
    return [
        TaskDefinition(
            name="blueprint_loader",
            description="reads from the database which blueprint is the target, and what is in it",
            period_s=config.period_secs_load,
            task=BlueprintLoader(
                pool=pool, loaded=loaded, log=log.bind(background_task="blueprint_loader"), now=utc_now
            ),
            activator=loader,
        ),
        TaskDefinition(
            name="blueprint_planner",
            description="makes a new target blueprint when the state of the rack asks for one, if it may",
            period_s=config.period_secs_plan,
            task=BlueprintPlanner(nexus_id, pool=pool, config=reconfigurator_config, loader=loader, now=utc_now),
            watches=(loaded, reconfigurator_config),
        ),
        TaskDefinition(
            name="blueprint_executor",
            description="makes the control plane what the target blueprint says",
            period_s=config.period_secs_execute,
            task=BlueprintExecutor(
                nexus_id,
                pool=pool,
                sec=sec,
                quiesce=quiesce,
                loaded=loaded,
                recovery=recovery,
                dns=dns,
                log=log.bind(background_task="blueprint_executor"),
                now=utc_now,
            ),
            watches=(loaded,),
        ),
        TaskDefinition(
            name="expunged_zone_watcher",
            description="finds out when expunged Nexuses do not run any more, so that their sagas can be moved",
            period_s=config.period_secs_watch_expunged,
            task=ExpungedZoneWatcher(
                nexus_id,
                pool=pool,
                loaded=loaded,
                loader=loader,
                log=log.bind(background_task="expunged_zone_watcher"),
                now=utc_now,
            ),
            watches=(loaded,),
        ),
        TaskDefinition(
            name="reconfigurator_config_watcher",
            description="reads from the database what the planner may do",
            period_s=config.period_secs_load_reconfigurator_config,
            task=ReconfiguratorConfigWatcher(pool=pool, config=reconfigurator_config),
        ),
    ]


def _dns_tasks(
    group: DnsGroup, config: DnsTasksConfig, *, pool: Pool, internal_dns: Sequence[SocketAddr], log: Log
) -> list[TaskDefinition]:
    found_config: Watch[DnsConfigParams | None] = Watch(None)
    found_servers: Watch[tuple[SocketAddr, ...] | None] = Watch(None)
    return [
        TaskDefinition(
            name=f"dns_config_{group}",
            description=f"reads from the database what {group} DNS is to say",
            period_s=config.period_secs_config,
            task=DnsConfigTask(group, pool=pool, config=found_config),
        ),
        TaskDefinition(
            name=f"dns_servers_{group}",
            description=f"looks up in internal DNS where the servers of {group} DNS are",
            period_s=config.period_secs_servers,
            task=DnsServersTask(group, internal_dns=internal_dns, servers=found_servers),
        ),
        TaskDefinition(
            name=f"dns_propagation_{group}",
            description=f"sends what {group} DNS is to say to each of its servers",
            period_s=config.period_secs_propagation,
            task=DnsPropagationTask(
                config=found_config,
                servers=found_servers,
                max_concurrent_updates=config.max_concurrent_server_updates,
                log=log.bind(background_task=f"dns_propagation_{group}"),
            ),
            watches=(found_config, found_servers),
        ),
    ]
