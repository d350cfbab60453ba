"""Background tasks as a Nexus tells of them, in every state that there is."""

from __future__ import annotations

from typing import Any

SAGA_ID = "65253cb6-4428-4aa7-9afc-bf9b42166cb5"
SILO_IDS = ("2f9fb1c4-5a1d-4a6c-9a73-3e1d3a4b5c6d", "7a1c0a44-3fd5-4a59-8a5e-0d8f5e2b9c11")


def task(name: str, details: object, *, period_s: int = 60, reason: str = "timeout", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"does what {name} does",
        "period": {"secs": period_s, "nanos": 0},
        "current": {"current_status": "idle"},
        "last": {
            "last_result": "completed",
            "details": {
                "iteration": 1,
                "start_time": "2024-08-12T20:20:41.714823Z",
                "reason": reason,
                "elapsed": {"secs": 0, "nanos": 79_512_000},
                "details": details,
            },
        },
        **more,
    }


SAGA_RECOVERY = {
    "recent_recoveries": [{"time": "2024-08-12T20:20:41.790123Z", "saga_id": SAGA_ID}],
    "recent_failures": [],
    "last_pass": {"Success": {"nfound": 1, "nrecovered": 1, "nfailed": 0, "nskipped": 0, "nremoved": 0}},
    "ntotal_recovered": 1,
    "ntotal_failures": 0,
    "ntotal_started": 0,
    "ntotal_finished": 0,
    "ntotal_sec_errors_missing": 0,
    "ntotal_sec_errors_bad_state": 0,
    "recent_losses": [],
    "ntotal_lost_to_adoption": 0,
}

BLUEPRINT_IDS = ("00000000-0000-4000-8000-b00000000001", "00000000-0000-4000-8000-b00000000002")


def step(description: str, message: str, *, outcome: str = "completed", elapsed_ms: int = 2) -> dict[str, object]:
    return {"description": description, "outcome": outcome, "message": message, "elapsed_ms": elapsed_ms}


EXECUTED = {
    "target_id": BLUEPRINT_IDS[1],
    "enabled": True,
    "execution_error": None,
    "needs_saga_recovery": True,
    "event_report": {
        "steps": [
            step("Ensure db_metadata_nexus records exist", "0 records added"),
            step("Deploy DNS records", "the database is away", outcome="warning", elapsed_ms=3001),
            step("Reassign sagas", "1 saga reassigned to this Nexus", elapsed_ms=17),
        ]
    },
}

SAGA_RECOVERY_DESCRIPTION = (
    "recovers sagas that are assigned to this Nexus and that it is not running, among them those that it was running"
    " when it stopped the last time"
)

HEALTHY = {
    each["name"]: each
    for each in (
        task("saga_recovery", SAGA_RECOVERY, period_s=600, description=SAGA_RECOVERY_DESCRIPTION),
        task("dns_config_internal", {"generation": 2}),
        task("dns_config_external", {"generation": 2}),
        task("dns_servers_internal", {"addresses": ["[::1]:36474"]}),
        task("dns_servers_external", {"addresses": ["[::1]:64397", "[::1]:64396"]}),
        task(
            "dns_propagation_internal",
            {"generation": 2, "server_results": {"[::1]:36474": {"Ok": None}}},
            reason="dependency",
        ),
        task(
            "dns_propagation_external",
            {
                "generation": 2,
                "server_results": {
                    "[::1]:64397": {"Ok": None},
                    "[::1]:64396": {"Err": "failed to propagate DNS generation 2 to server [::1]:64396: refused"},
                },
            },
            reason="signaled",
        ),
        task(
            "external_endpoints",
            {
                "by_dns_name": {
                    "test-suite-silo.sys.oxide-dev.test": {"silo_id": SILO_IDS[0], "tls_certs": []},
                    "default-silo.sys.oxide-dev.test": {"silo_id": SILO_IDS[1]},
                },
                "default_endpoint": {"silo_id": SILO_IDS[0], "tls_certs": []},
                "warnings": ["silo A has no certificates", "silo B has no certificates"],
            },
        ),
        task("session_cleanup", {"deleted": 3, "limit": 10_000}, period_s=300),
        task(
            "blueprint_loader",
            {
                "target_id": BLUEPRINT_IDS[1],
                "time_created": "2024-08-12T20:00:02Z",
                "time_found": "2024-08-12T20:20:41.790123Z",
                "status": "target blueprint updated",
                "enabled": False,
            },
            period_s=10,
            reason="signaled",
        ),
        task("blueprint_planner", {"status": "disabled"}, reason="dependency"),
        task("blueprint_executor", EXECUTED, reason="dependency"),
        task("expunged_zone_watcher", {"waiting_for": [], "ready_for_cleanup": []}, period_s=5),
        task("reconfigurator_config_watcher", {"config_updated": True}, period_s=5),
    )
}

ODD = {
    each["name"]: each
    for each in (
        task("never_ran", None, last={"last_result": "never_completed"}),
        task(
            "runs_for_the_first_time",
            None,
            period_s=5400,
            last={"last_result": "never_completed"},
            current={
                "current_status": "running",
                "details": {"start_time": "2024-08-12T20:21:26.250Z", "reason": "signaled", "iteration": 1},
            },
        ),
        task("dns_config_internal", {"error": "cannot read\n\x1b[31mthe database"}),
        task("dns_servers_internal", {"addresses": []}),
        task("dns_propagation_internal", {"generation": "two", "server_results": {}}),
        task("external_endpoints", {"by_dns_name": {}, "default_endpoint": None, "warnings": []}),
        task("session_cleanup", {"deleted": 10_000, "limit": 10_000}),
        task("fm_analysis", {"news": [1, 2]}, period_s=90_061),
        task("says_nothing", None, period_s=0),
        task(
            "saga_recovery",
            {
                **SAGA_RECOVERY,
                "recent_recoveries": [],
                "recent_failures": [
                    {
                        "time": "2024-08-12T20:20:41.790123Z",
                        "saga_id": SAGA_ID,
                        "current_sec": SILO_IDS[0],
                        "kind": "permanent",
                        "message": "saga log: event of another saga",
                    }
                ],
                "last_pass": {"Failed": {"message": "database unreachable"}},
                "ntotal_failures": 1000,
            },
        ),
    )
}
