"""`omdb reconfigurator export`"""

from __future__ import annotations

from pathlib import Path

import msgspec

from nexus.db.reconfigurator_reads import read_reconfigurator_state
from omdb.errors import OmdbError, UsageError, reason
from omdb.session import Session

DEFAULT_MAX_BLUEPRINTS = 1000


def export(file: Path, /, *, nmax_blueprints: int = DEFAULT_MAX_BLUEPRINTS, session: Session) -> int:
    """Save blueprints, and what else the planner and the execution of them go by, to a file, as JSON.

    A blueprint that is taken out of it can be given to `omdb nexus blueprints import`.

    Parameters
    ----------
    file
        A file that is not there yet.
    nmax_blueprints
        How many blueprints to save, of the newest. Without it: 1000.
    """
    if not 0 < nmax_blueprints < 10**9:
        raise UsageError(f'Invalid value "{nmax_blueprints}" for --nmax-blueprints: not a number from 1 to 999999999.')
    database = session.database()
    with session.progress("assembling reconfigurator state"), database.reading() as connection:
        state = read_reconfigurator_state(connection, max_blueprints=nmax_blueprints)
    if len(state.blueprints) >= nmax_blueprints:
        session.note(
            f"WARN: listing blueprints: found {len(state.blueprints)} items (the limit).  There may be more items that"
            " were ignored.  Consider overriding with --nmax-blueprints."
        )
    with session.progress(f"saving to {file}"):
        _write_new(file, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
    return 0


def _write_new(file: Path, contents: bytes) -> None:
    """Raises OmdbError. The file is there with all of that, or as it was before."""
    try:
        stream = file.open("xb")
    except OSError as error:
        raise OmdbError(f"cannot create {file}: {reason(error)}") from None
    try:
        with stream:
            stream.write(contents)
    except BaseException as error:
        file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OmdbError(f"cannot write {file}: {reason(error)}") from None
        raise
