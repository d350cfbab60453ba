"""What the planner may do: the reconfigurator's configuration. Pure data, in upstream's shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec

DisruptionPolicy: TypeAlias = Literal["terminate", "migrate_or_terminate", "migrate_only"]
Version: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class PlannerConfig(msgspec.Struct, frozen=True):
    """Nothing, so far, as upstream."""


class ReconfiguratorConfig(msgspec.Struct, frozen=True, kw_only=True):
    planner_enabled: bool
    planner_config: PlannerConfig = PlannerConfig()
    tuf_repo_pruner_enabled: bool
    disruption_policy: DisruptionPolicy


class ReconfiguratorConfigParam(msgspec.Struct, frozen=True):
    """A configuration that somebody wants, and the version that it is to be: the one after the newest."""

    version: Version
    config: ReconfiguratorConfig


class ReconfiguratorConfigView(msgspec.Struct, frozen=True):
    version: Version
    config: ReconfiguratorConfig
    time_modified: datetime


INITIAL_CONFIG = ReconfiguratorConfig(
    planner_enabled=False, tuf_repo_pruner_enabled=True, disruption_policy="terminate"
)
"""Upstream's for `run-all`: blueprints are made by hand."""
