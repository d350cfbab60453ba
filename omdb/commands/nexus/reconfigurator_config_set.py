"""`omdb nexus reconfigurator-config set`"""

from __future__ import annotations

from typing import Literal

import msgspec

from nexus.clients.deployment import decode_config, set_config, view_config
from nexus.deployment.config import INITIAL_CONFIG
from omdb.errors import UsageError
from omdb.nexus_connection import NexusRefused
from omdb.render.reconfigurator_config import config_changes
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.deployment.config import ReconfiguratorConfig
    from omdb.nexus_connection import NexusConnection


def set_(
    *,
    planner_enabled: Literal["true", "false"] | None = None,
    tuf_repo_pruner_enabled: Literal["true", "false"] | None = None,
    disruption_policy: Literal["terminate", "migrate-or-terminate", "migrate-only"] | None = None,
    session: Session,
) -> int:
    """Change what the planner may do. At least one option must be given.

    This changes the state of Nexus and needs -w.

    Parameters
    ----------
    planner_enabled
        Whether the planner makes blueprints, and makes them the target.
    tuf_repo_pruner_enabled
        Kept for upstream's sake: there are no update repositories here.
    disruption_policy
        Kept for upstream's sake: there are no instances here.
    """
    if planner_enabled is None and tuf_repo_pruner_enabled is None and disruption_policy is None:
        raise UsageError("Nothing to set: give --planner-enabled, --tuf-repo-pruner-enabled or --disruption-policy.")
    nexus = session.nexus()
    token = check_destructive(session.settings)
    version, before = _newest(nexus)
    after = before
    if planner_enabled is not None:
        after = msgspec.structs.replace(after, planner_enabled=planner_enabled == "true")
    if tuf_repo_pruner_enabled is not None:
        after = msgspec.structs.replace(after, tuf_repo_pruner_enabled=tuf_repo_pruner_enabled == "true")
    if disruption_policy is not None:
        after = msgspec.structs.replace(after, disruption_policy=disruption_policy.replace("-", "_"))
    if after == before:
        session.print_text("no modifications made to current config values:")
    else:
        _set(nexus, version + 1, after, token)
        session.print_text(f"reconfigurator config updated to version {version + 1}:")
    session.print(config_changes(before, after))
    return 0


def _newest(nexus: NexusConnection) -> tuple[int, ReconfiguratorConfig]:
    try:
        view = nexus.fetch(view_config(None), decode_config)
    except NexusRefused as error:
        if error.status != 404:
            raise
        return 0, INITIAL_CONFIG
    return view.version, view.config


def _set(nexus: NexusConnection, version: int, config: ReconfiguratorConfig, _: DestructiveToken) -> None:
    nexus.call(set_config(version, config))
