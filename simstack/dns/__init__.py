"""A DNS server that is told over HTTP what to serve. Import from the submodules; nothing is imported here."""
