"""UUID text: the forms upstream takes, and no others."""

from __future__ import annotations

from uuid import UUID

import pytest

from dropshot.uuids import parse_uuid

ID = "f7765d6a-6e45-4c13-8904-2677b79a97eb"
SIMPLE = ID.replace("-", "")


@pytest.mark.parametrize(
    "text", [ID, ID.upper(), SIMPLE, SIMPLE.upper(), f"{{{ID}}}", f"urn:uuid:{ID}", "urn:uuid:" + ID.upper()]
)
def test_accepted(text: str) -> None:
    assert parse_uuid(text) == UUID(ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ID[:-1],
        ID + "0",
        f"{{{ID}",
        f"{{{SIMPLE}}}",
        f"urn:uuid:{SIMPLE}",
        f"URN:UUID:{ID}",
        ID.replace("-", "", 1),
        f" {ID}",
        ID.replace("7", "\u0667"),
        f"{ID}\n",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a UUID"):
        parse_uuid(text)
