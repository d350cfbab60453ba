"""`omdb nexus reconfigurator-config show`"""

from __future__ import annotations

from nexus.clients.deployment import decode_config, view_config
from omdb.errors import UsageError
from omdb.nexus_connection import NexusRefused
from omdb.render.reconfigurator_config import config_lines
from omdb.render.text import printable
from omdb.session import Session


def show(version: str, /, *, session: Session) -> int:
    """Print what the planner may do.

    Parameters
    ----------
    version
        A number, or current or latest.
    """
    wanted = None if version in ("current", "latest") else _number(version)
    nexus = session.nexus()
    try:
        config = nexus.fetch(view_config(wanted), decode_config)
    except NexusRefused as error:
        if error.status != 404:
            raise
        session.print_text("No config specified")
        return 0
    session.print(config_lines(config))
    return 0


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f'Invalid value "{printable(text)}" for VERSION: neither a number nor current nor latest.')
    return int(text)
