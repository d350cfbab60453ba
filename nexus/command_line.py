"""`nexus CONFIG_FILE_PATH`: from arguments to an exit code.

0: asked to stop (SIGINT, SIGTERM). 1: the configuration cannot be used, an address is taken, another process of
the same id was started, this Nexus is expunged or quiesced, or a bug. 2: usage.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from dropshot.exception_groups import leaves
from dropshot.release import RELEASE

USAGE = """\
Runs one Nexus: the control plane's HTTP APIs, background tasks and sagas.

Usage: nexus CONFIG_FILE_PATH

Arguments:
  CONFIG_FILE_PATH  a TOML file; configs/config.toml has every key with its meaning

Options:
  -h, --help        print this
  -V, --version     print the version
"""


def run(arguments: list[str]) -> int:
    """Runs until the process is asked to stop, by SIGINT or SIGTERM, or cannot go on."""
    # Until the server is up there is nothing to clean up. Later signals are the server's.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    match arguments:
        case ["-h" | "--help"]:
            sys.stdout.write(USAGE)
            return 0
        case ["-V" | "--version"]:
            sys.stdout.write(f"nexus {RELEASE}\n")
            return 0
        case [path] if not path.startswith("-"):
            return _run_nexus(Path(path))
        case []:
            problem = "CONFIG_FILE_PATH is required"
        case [first, *_] if first.startswith("-"):
            problem = f"unknown option {first}"
        case [_, unexpected, *_]:
            problem = f"unexpected argument {unexpected}"
    sys.stderr.write(f"{USAGE}\nnexus: {problem}\n")
    return 2


def _run_nexus(path: Path) -> int:
    from dropshot.logging import LogFileError, open_log
    from nexus.config import ConfigError, load_config

    try:
        config = load_config(path)
        log = open_log(config.log, name=str(config.deployment.id))
    except (ConfigError, LogFileError) as exc:
        _refuse(str(exc))
        return 1

    # What follows takes most of the start-up time; a mistake in the file is told before it.
    import trio

    from nexus.incarnation import Superseded
    from nexus.server import StartupError, serve_until_signalled

    try:
        trio.run(serve_until_signalled, config, log, strict_exception_groups=True)
    except* StartupError as group:
        for error in leaves(group):
            log.critical("cannot start", error=str(error))
            _refuse(str(error))
        return_code = 1
    except* Superseded as group:
        for superseded in leaves(group):
            log.critical("superseded", error=str(superseded))
            sys.stderr.write(f"nexus: {superseded}\n")
        return_code = 1
    except* Exception as group:
        log.critical("nexus died", exc_info=group)
        return_code = 1
    else:
        return_code = 0
    return return_code


def _refuse(why: str) -> None:
    from nexus.notify import Notifier

    Notifier.from_environment().refuses(why)
    sys.stderr.write(f"nexus: {why}\n")
