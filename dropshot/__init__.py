"""The HTTP floor of every server here: addresses, logs, errors, pagination, and the trio shell that serves an app.

Named after upstream's HTTP server library, whose conventions (request ids, error bodies, page tokens, the
`api-version` header) it reproduces. Submodules are imported by name; nothing is imported here, so that a command
that needs an address does not pay for a web server.
"""
