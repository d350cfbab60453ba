"""What a command ends with when it cannot be carried out."""

from __future__ import annotations


class Refused(Exception):
    """Exit status 1; the message is for the user, after the prefix that all of `omicron-dev` has."""
