"""UUIDs as text, in the forms that upstream takes and no others."""

from __future__ import annotations

import re
from uuid import UUID

_HYPHENATED = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FORMS = re.compile(
    rf"(?i:[0-9a-f]{{32}}|{_HYPHENATED}|\{{{_HYPHENATED}\}})|urn:uuid:(?i:{_HYPHENATED})", flags=re.ASCII
)


def parse_uuid(text: str) -> UUID:
    """Read a UUID: hyphenated, 32 digits, in braces, or after `urn:uuid:`; any case. Raises ValueError otherwise."""
    if _FORMS.fullmatch(text) is None:
        raise ValueError(f'"{text}" is not a UUID')
    return UUID(text)
