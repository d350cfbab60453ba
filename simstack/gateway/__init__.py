"""Management gateways with simulated service processors. Import from the submodules; nothing is imported here."""
