"""Files that ship with the stack: default configurations and the database schema.

Found beside the packages in a checkout, and inside them in an installed wheel. The schema is Nexus' own; it is read
here as data, by path, so that no code of Nexus is imported.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGES = Path(__file__).parents[1]


def config_file(name: str) -> Path:
    """A default configuration, such as `config.toml`."""
    checkout = _PACKAGES / "configs" / name
    return checkout if checkout.exists() else Path(__file__).parent / "configs" / name


def schema_files() -> list[Path]:
    """The database schema, in the order in which it is applied."""
    return sorted((_PACKAGES / "nexus" / "db" / "schema").glob("*.sql"))
