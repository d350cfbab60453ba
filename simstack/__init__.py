"""The simulated stack around Nexus: Postgres, DNS, management gateways. Imports nothing of nexus."""
