"""omdb: the debugger of a running control plane. Importing it costs nothing; commands are loaded when used."""
