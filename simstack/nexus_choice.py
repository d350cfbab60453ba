"""Which Nexus of a stack somebody means: its number, its name, its id or the start of that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simstack.errors import SimstackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

NUMBER = re.compile(r"(?:nexus)?(\d{1,3})")
"""Shorter than an id's shortest start, so that no text can mean both."""

SHORTEST_ID = 4
"""Characters of an id that stand for it."""


class UnknownNexus(SimstackError):
    """No Nexus that the launcher started is meant, or more than one; the message names those that there are."""


def nexus_name(number: int) -> str:
    """What people call the Nexus of that number: they count from 1."""
    return f"nexus{number}"


def choose_nexus(text: str | None, *, launched: Sequence[UUID], by_hand: UUID) -> int:
    """The number of the Nexus that `text` means; none means the only one.

    `launched` are the ids of those that the launcher started, in the order of their numbers; `by_hand` is the one that
    it leaves to the user. Raises UnknownNexus.
    """
    choices = ", ".join(f"{nexus_name(number)} ({nexus_id})" for number, nexus_id in enumerate(launched, 1))
    if text is None:
        if len(launched) == 1:
            return 1
        raise UnknownNexus(f"say which Nexus: {choices}")
    if (match := NUMBER.fullmatch(text)) is not None:
        number = int(match[1])
        if 1 <= number <= len(launched):
            return number
        raise UnknownNexus(
            f"there is no {nexus_name(number)}: this stack launched {choices}; one that was started by hand has no"
            " number, and is ended in its own terminal"
        )
    prefix = text.lower()
    matching = [nexus_id for nexus_id in (*launched, by_hand) if str(nexus_id).startswith(prefix)]
    if len(prefix) < SHORTEST_ID or not matching:
        raise UnknownNexus(
            f"{text!r} is none of this stack's Nexuses: {choices}; expected a number, an id, or the first"
            f" {SHORTEST_ID} characters of one or more"
        )
    if len(matching) > 1:
        raise UnknownNexus(f"{text!r} is the start of more than one id: {', '.join(map(str, matching))}")
    if matching == [by_hand]:
        raise UnknownNexus(
            f"{by_hand} is the second Nexus of config-second.toml, which is started by hand, and ended in its own"
            f" terminal; this stack launched {choices}"
        )
    return launched.index(matching[0]) + 1
