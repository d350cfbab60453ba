"""Keys of a Nexus configuration file that upstream knows and that mean nothing in a simulated stack. Pure data.

They are accepted, so that upstream's own files can be used as they are; Nexus says once in its log which of them it
found. Names that upstream has since given up are here too. What is honoured is in `nexus.config`.
"""

from __future__ import annotations

from typing import TypeAlias

KeyTree: TypeAlias = "dict[str, KeyTree | None]"
"""Known keys of a table: None for a plain value (or a table of any contents), else the keys of that table."""

ANY_KEY = "*"
"""Stands for any name, in a table whose keys are the user's own."""


def _each(names: str, keys: str) -> KeyTree:
    return {name: dict.fromkeys(keys.split()) for name in names.split()}


_TASKS_WITH_A_PERIOD = """
    abandoned_vmm_reaper alert_dispatcher attached_subnet_manager bfd_manager instance_watcher local_storage_delete
    lookup_region_port metrics_producer_gc nat_cleanup phantom_disks populate_switch_ports probe_distributor
    read_only_region_replacement_start region_replacement region_replacement_driver region_snapshot_replacement_finish
    region_snapshot_replacement_garbage_collection region_snapshot_replacement_start region_snapshot_replacement_step
    service_firewall_propagation switch_port_settings_manager sync_service_zone_nat trust_quorum v2p_mapping_propagation
    vmm_mark_stop_for_update
"""

_TASKS_WITH_A_SWITCH = """
    decommissioned_disk_cleaner instance_reincarnation instance_updater physical_disk_adoption sp_ereport_ingester
    support_bundle_collector
"""

_BACKGROUND_TASKS: KeyTree = {
    **_each(_TASKS_WITH_A_PERIOD, "period_secs"),
    **_each(_TASKS_WITH_A_SWITCH, "period_secs disable"),
    **_each("audit_log_cleanup", "period_secs retention_days max_deleted_per_activation"),
    **_each("audit_log_timeout_incomplete", "period_secs timeout_secs max_timed_out_per_activation"),
    **_each(
        "blueprints",
        "period_secs_plan period_secs_execute period_secs_rendezvous period_secs_prune "
        "period_secs_collect_crdb_node_ids period_secs_load_chicken_switches",
    ),
    **_each(
        "fm",
        "sitrep_load_period_secs config_load_period_secs analysis_period_secs sitrep_gc_period_secs "
        "sitrep_history_prune_period_secs rendezvous_period_secs",
    ),
    **_each("inventory", "period_secs_load period_secs_collect nkeep disable_collect period_secs disable"),
    **_each(
        "multicast_reconciler multicast_group_reconciler",
        "period_secs sled_cache_ttl_secs backplane_cache_ttl_secs",
    ),
    **_each("tuf_artifact_replication", "period_secs min_sled_replication"),
    **_each("tuf_repo_pruner", "period_secs nkeep_extra_target_releases nkeep_extra_newly_uploaded"),
    **_each("webhook_deliverator", "period_secs lease_timeout_secs first_retry_backoff_secs second_retry_backoff_secs"),
}

_SWITCHES: KeyTree = {"switch0": {"address": None}, "switch1": {"address": None}}

NOT_SIMULATED: KeyTree = {
    "authn": {"schemes_external": None},
    "background_tasks": _BACKGROUND_TASKS,
    "console": {"static_dir": None},
    "default_region_allocation_strategy": {"type": None, "seed": None},
    "dendrite": _SWITCHES,
    "deployment": {
        "dropshot_external": {"compression": None},
        "dropshot_internal": {"compression": None},
        "dropshot_lockstep": {"compression": None},
        "external_dns_servers": None,
        "external_http_clients": {"interface": None},
        "techport_external_server_port": None,
    },
    "initial_reconfigurator_config": {
        "planner_enabled": None,
        "planner_config": {ANY_KEY: None},
        "tuf_repo_pruner_enabled": None,
        "disruption_policy": None,
    },
    "mgd": _SWITCHES,
    "multicast": {"enabled": None},
    "omdb": {"bin_path": None},
    "schema": {"schema_dir": None},
    "timeseries_db": {"address": None},
    "tunables": {"max_vpc_ipv4_subnet_prefix": None, "load_timeout": {ANY_KEY: None}},
}

RENAMED = {
    "request_body_max_bytes": "default_request_body_max_bytes",
    "dropshot_debug": "dropshot_lockstep",
}
"""Old names that upstream refuses too, and what they are called now."""
