"""What upstream's own configuration files hold beside what a simulated Nexus looks at."""

from __future__ import annotations

UPSTREAM_ONLY = """
[authn]
schemes_external = ["session_cookie", "access_token", "scim_token"]
[timeseries_db]
address = "[::1]:8123"
[tunables]
max_vpc_ipv4_subnet_prefix = 26
[schema]
schema_dir = "schema"
[multicast]
enabled = false
[initial_reconfigurator_config]
planner_enabled = false
planner_config.add_zones_with_mupdate_override = true
tuf_repo_pruner_enabled = true
disruption_policy = "terminate"
[dendrite.switch0]
address = "[::1]:12224"
[mgd]
switch0.address = "[::1]:49188"
switch1.address = "[::1]:39352"
[default_region_allocation_strategy]
type = "random"
seed = 0
[omdb]
bin_path = "/nowhere"
"""

UPSTREAM_TASKS = """
metrics_producer_gc.period_secs = 60
nat_cleanup.period_secs = 30
bfd_manager.period_secs = 30
inventory.period_secs_load = 15
inventory.period_secs_collect = 600
inventory.nkeep = 5
inventory.disable_collect = false
support_bundle_collector.period_secs = 30
physical_disk_adoption.period_secs = 30
physical_disk_adoption.disable = true
decommissioned_disk_cleaner.period_secs = 60
phantom_disks.period_secs = 30
blueprints.period_secs_load = 10
blueprints.period_secs_plan = 60
blueprints.period_secs_execute = 60
blueprints.period_secs_rendezvous = 300
blueprints.period_secs_prune = 600
blueprints.period_secs_collect_crdb_node_ids = 180
blueprints.period_secs_load_reconfigurator_config = 5
sync_service_zone_nat.period_secs = 30
switch_port_settings_manager.period_secs = 30
populate_switch_ports.period_secs = 30
region_replacement.period_secs = 30
region_replacement_driver.period_secs = 30
instance_watcher.period_secs = 30
instance_updater.period_secs = 30
instance_reincarnation.period_secs = 60
service_firewall_propagation.period_secs = 300
v2p_mapping_propagation.period_secs = 30
abandoned_vmm_reaper.period_secs = 60
lookup_region_port.period_secs = 60
region_snapshot_replacement_start.period_secs = 30
region_snapshot_replacement_garbage_collection.period_secs = 30
region_snapshot_replacement_step.period_secs = 30
region_snapshot_replacement_finish.period_secs = 30
tuf_artifact_replication.period_secs = 300
tuf_artifact_replication.min_sled_replication = 1
tuf_repo_pruner.period_secs = 300
tuf_repo_pruner.nkeep_extra_target_releases = 1
tuf_repo_pruner.nkeep_extra_newly_uploaded = 1
read_only_region_replacement_start.period_secs = 30
alert_dispatcher.period_secs = 60
webhook_deliverator.period_secs = 60
webhook_deliverator.lease_timeout_secs = 60
sp_ereport_ingester.period_secs = 30
fm.sitrep_load_period_secs = 15
fm.config_load_period_secs = 15
fm.analysis_period_secs = 120
fm.sitrep_gc_period_secs = 600
fm.sitrep_history_prune_period_secs = 600
fm.rendezvous_period_secs = 300
probe_distributor.period_secs = 60
multicast_reconciler.period_secs = 60
trust_quorum.period_secs = 60
attached_subnet_manager.period_secs = 60
audit_log_timeout_incomplete.period_secs = 600
audit_log_timeout_incomplete.timeout_secs = 14400
audit_log_timeout_incomplete.max_timed_out_per_activation = 1000
audit_log_cleanup.period_secs = 600
audit_log_cleanup.retention_days = 90
audit_log_cleanup.max_deleted_per_activation = 10000
"""
