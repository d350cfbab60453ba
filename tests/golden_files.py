"""Golden files: what was printed once, looked at, and checked in. `GOLDEN=overwrite pytest` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """`text` is what `tests/golden/NAME` holds, byte for byte."""
    path = DIRECTORY / name
    if os.environ.get("GOLDEN") == "overwrite":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    expected = path.read_text() if path.exists() else ""
    assert text == expected, f"{path} differs; if it is meant to, run: GOLDEN=overwrite pytest, and review the diff"
