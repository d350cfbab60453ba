"""A blueprint as it is typed: its id, or a word for the target."""

from __future__ import annotations

from uuid import UUID

from nexus.ids import BlueprintId
from omdb.errors import UsageError
from omdb.render.text import printable

TARGET_WORDS = ("target", "current", "current-target")


def parse_blueprint_reference(argument: str, text: str) -> BlueprintId | None:
    """None for the target. Raises UsageError that names the argument."""
    if text in TARGET_WORDS:
        return None
    try:
        return BlueprintId(UUID(text))
    except ValueError:
        words = ", ".join(TARGET_WORDS)
        raise UsageError(
            f'Invalid value "{printable(text)}" for {argument}: neither a UUID nor one of {words}.'
        ) from None
