"""The background tasks, one a file; `nexus.background.wiring` makes the set that a Nexus runs."""
