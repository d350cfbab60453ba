"""The background tasks of a Nexus: their names, descriptions, periods, and who depends on whom.

dns_config_<group> ───config───┐
                               ├──> dns_propagation_<group>
dns_servers_<group> ──servers──┘

blueprint_loader and reconfigurator_config_watcher keep what they found for those who execute and plan.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from nexus.background.activator import Watch
from nexus.background.driver import TaskDefinition, utc_now
from nexus.background.tasks.blueprint_loader import BlueprintLoader
from nexus.background.tasks.dns_config import DnsConfigTask
from nexus.background.tasks.dns_propagation import DnsPropagationTask
from nexus.background.tasks.dns_servers import DnsServersTask
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
    from nexus.saga.sec import Sec


def build_tasks(
    config: BackgroundTasksConfig,
    *,
    console: ConsoleConfig,
    pool: Pool,
    sec: Sec,
    internal_dns: Sequence[SocketAddr],
    log: Log,
) -> list[TaskDefinition]:
    """All tasks, for `Driver`. `internal_dns` is where the internal DNS servers answer queries."""
    return [
        *_dns_tasks("internal", config.dns_internal, pool=pool, internal_dns=internal_dns, log=log),
        *_dns_tasks("external", config.dns_external, pool=pool, internal_dns=internal_dns, log=log),
        *_blueprint_tasks(config.blueprints, pool=pool),
        TaskDefinition(
            name="external_endpoints",
            description="works out the DNS names under which clients reach the external API, and the silo behind each",
            period_s=config.external_endpoints.period_secs,
            task=ExternalEndpointsTask(pool=pool),
        ),
        TaskDefinition(
            name="saga_recovery",
            description="resumes the sagas that are assigned to this Nexus and that it does not run yet",
            period_s=config.saga_recovery.period_secs,
            task=SagaRecovery(sec, log=log.bind(background_task="saga_recovery"), now=utc_now),
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


def _blueprint_tasks(config: BlueprintTasksConfig, *, pool: Pool) -> list[TaskDefinition]:
    loaded: Watch[LoadedBlueprint | None] = Watch(None)
    reconfigurator_config: Watch[ReconfiguratorConfigView | None] = Watch(None)
    return [
        TaskDefinition(
            name="blueprint_loader",
            description="reads from the database which blueprint is the target, and what is in it",
            period_s=config.period_secs_load,
            task=BlueprintLoader(pool=pool, loaded=loaded, now=utc_now),
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
