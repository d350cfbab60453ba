"""How a command fails. `cli.main` prints the text after `Error: ` and makes the exit code."""

from __future__ import annotations


class OmdbError(Exception):
    """The command could not do what was asked. One line that names what was tried; exit code 1."""

    exit_code = 1


class UsageError(OmdbError):
    """The command line, or an environment variable that stands in for an option, is wrong; exit code 2."""

    exit_code = 2


def reason(error: OSError) -> str:
    """What the operating system says, as part of a sentence: `connection refused`."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
