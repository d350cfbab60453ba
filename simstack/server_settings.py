"""Server settings that somebody wants in every ephemeral Postgres: `SIMSTACK_POSTGRES_SETTINGS`.

`NAME=VALUE`, several separated by spaces, quoted as in a shell. So a whole test suite can be run under another default
isolation level, for instance, also what it starts as processes of their own.
"""

from __future__ import annotations

import shlex

from simstack.errors import PostgresError

ENVIRONMENT_VARIABLE = "SIMSTACK_POSTGRES_SETTINGS"


def parse_settings(text: str) -> dict[str, str]:
    """Raises PostgresError if it is not written so; whether there is such a setting is for the server to say."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _refused(text) from error
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise _refused(text)
        settings[name] = value
    return settings


def _refused(text: str) -> PostgresError:
    return PostgresError(f"{ENVIRONMENT_VARIABLE} is {text!r}: expected NAME=VALUE, several separated by spaces")
