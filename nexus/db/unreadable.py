"""JSON of the database, for people who look into it: read as what it should be, or told to be something else."""

from __future__ import annotations

from typing import Any

import msgspec


class UnreadableRecord(Exception):
    """The database holds something that is not what it should be. One line that says what and where."""


def decode_record(what: str, text: str, type_: Any) -> Any:
    """Raises UnreadableRecord, which names `what`."""
    try:
        return msgspec.json.decode(text, type=type_)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableRecord(f"{what} is not what it should be: {error}") from None
