"""What the launcher's board says of a service."""

from __future__ import annotations

from simstack.progress import Silent
from simstack.services import ServiceBoard


def test_a_nexus_is_on_standby_only_as_long_as_it_waits_for_its_turn() -> None:
    board = ServiceBoard(Silent())
    board.announce("nexus1", "http", awaits="its interpreter")
    board.stands_by("nexus1", "[::1]:1", "the handoff")
    (standby,) = board.statuses()
    assert (standby.state, standby.address, standby.detail) == ("standby", "[::1]:1", "waits for the handoff")
    board.awaits("nexus1", "the database")
    (starting,) = board.statuses()
    assert (starting.state, starting.detail) == ("starting", "waits for the database")
