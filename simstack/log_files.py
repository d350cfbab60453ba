"""Log files of a stack, and the numbers in their names.

As upstream's, the gateways' are 2 and 3; the Nexuses after the first come behind them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from simstack import rack_setup

if TYPE_CHECKING:
    from pathlib import Path

LAUNCHER_LOG = 0
FIRST_NEXUS_LOG = 1
FIRST_GATEWAY_LOG = 2


def log_path(directory: Path, which: int | str) -> Path:
    return directory / f"omicron-dev-omicron-dev.{os.getpid()}.{which}.log"


def gateway_log(slot: int) -> int:
    return FIRST_GATEWAY_LOG + slot


def nexus_log(number: int) -> int:
    """People count Nexuses from 1."""
    return FIRST_NEXUS_LOG if number == 1 else FIRST_GATEWAY_LOG + len(rack_setup.SWITCH_SLOTS) + number - 2
