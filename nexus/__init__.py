"""Nexus: the control-plane process that runs sagas. Submodules are imported by name."""
