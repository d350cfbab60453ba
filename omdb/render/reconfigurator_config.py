"""The reconfigurator's configuration as upstream prints it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omdb.render.blueprints import pair_changes
from omdb.render.text import line
from omdb.render.times import to_milliseconds

if TYPE_CHECKING:
    from nexus.deployment.config import ReconfiguratorConfig, ReconfiguratorConfigView
    from omdb.render.blueprints import Pair
    from omdb.render.text import Line


def config_lines(view: ReconfiguratorConfigView) -> list[Line]:
    pairs = [("version", str(view.version)), ("modified time", to_milliseconds(view.time_modified))]
    return [
        line("Reconfigurator config:"),
        *(line(f"    {key}: {value}") for key, value in [*pairs, *_pairs(view.config)]),
    ]


def config_changes(before: ReconfiguratorConfig, after: ReconfiguratorConfig) -> list[Line]:
    return pair_changes(_pairs(before), _pairs(after))


def _pairs(config: ReconfiguratorConfig) -> list[Pair]:
    return [
        ("tuf repo pruner enabled", str(config.tuf_repo_pruner_enabled).lower()),
        ("disruption policy", config.disruption_policy),
        ("planner enabled", str(config.planner_enabled).lower()),
    ]
