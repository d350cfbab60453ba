"""What a caller may choose about an ephemeral Postgres server. Plain data: importing it costs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Durability(Enum):
    """What a commit survives. Either way it survives the death of any process."""

    PROCESS_CRASH = "off"
    """No fsync: for everything but measurements of commit speed."""
    POWER_LOSS = "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    directory: Path
    """Absolute; made at the start, removed at the end. As root, one below directories that others may pass through."""
    log_path: Path
    """Appended to, and left there."""
    schema: Sequence[Path] = ()
    """SQL files, each applied in one transaction, in this order."""
    port: int = 0
    """0 is any that is free."""
    durability: Durability = Durability.PROCESS_CRASH
    settings: Mapping[str, str] = field(default_factory=dict)
    """More server settings, such as `default_transaction_isolation`; they win over ours."""

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"
