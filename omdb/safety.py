"""The gate before everything that changes something, and the question before what cannot be taken back.

A function that makes such a request takes a `DestructiveToken`, and only `check_destructive` makes one. Upstream's
order is kept: first the server is chosen and the notes are printed, then this check, then any request.
"""

from __future__ import annotations

from omdb.errors import OmdbError
from omdb.options import DESTRUCTIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from omdb.options import Settings
    from omdb.session import Session

_MADE_HERE = object()


class DestructiveToken:
    """Proof that `-w` was given."""

    __slots__ = ()

    def __init__(self, made_here: object) -> None:
        assert made_here is _MADE_HERE, "only check_destructive makes a DestructiveToken"


def check_destructive(settings: Settings) -> DestructiveToken:
    """Raises OmdbError without `-w`."""
    if not settings.has(DESTRUCTIVE):
        raise OmdbError("This command is potentially destructive. Pass the `-w` / `--destructive` flag to allow it.")
    return DestructiveToken(_MADE_HERE)


def confirm(session: Session, question: str = "y/N", *, expected: str = "y") -> None:
    """Go on only after `expected` was typed at a terminal. Raises OmdbError."""
    if not session.has_terminal:
        raise OmdbError("operation aborted: standard input is no terminal, and the answer must be typed at one")
    answer = session.ask(question)
    if answer is None:
        raise OmdbError("operation aborted")
    if answer != expected:
        raise OmdbError("Aborting, input did not match expected value")
