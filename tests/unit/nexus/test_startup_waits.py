"""Waiting during start-up: how it is told, and how fast it looks again."""

from __future__ import annotations

import io
import json

import pytest
import trio
import trio.testing

from dropshot.logging import BunyanForm, log_to
from nexus.errors import ServiceUnavailable
from nexus.notify import Notifier
from nexus.startup import LONGEST_PAUSE_S, REPEAT_S, Standby, Startup


class RecordingNotifier(Notifier):
    def __init__(self) -> None:
        super().__init__(None)
        self.said: list[str] = []
        self.standby: list[str] = []

    def send(self, **values: str) -> None:
        self.said.append(values["STATUS"])
        self.standby.append(values["X_STANDBY"])


class World:
    def __init__(self) -> None:
        self.reason: str | Standby | None = "the database at [::1]:1: refused"
        self.looks: list[float] = []

    async def look(self) -> str | Standby | None:
        self.looks.append(trio.current_time())
        return self.reason


def start() -> tuple[Startup, RecordingNotifier, io.StringIO]:
    text = io.StringIO()
    notifier = RecordingNotifier()
    return Startup(log=log_to(text, form=BunyanForm()), notifier=notifier), notifier, text


async def test_looks_often_at_first_and_returns_when_there_is_nothing_to_wait_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    startup, _, _ = start()
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(startup.wait_until, "database", world.look)
        await trio.sleep(1)
        world.reason = None
    gaps = [later - earlier for earlier, later in zip(world.looks, world.looks[1:], strict=False)]
    assert gaps[:3] == pytest.approx([0.01, 0.02, 0.04])
    assert gaps[-1] == pytest.approx(LONGEST_PAUSE_S)
    assert world.looks[-1] - world.looks[0] <= 1 + LONGEST_PAUSE_S


async def test_a_hint_is_followed_at_once(autojump_clock: trio.testing.MockClock) -> None:
    startup, _, _ = start()
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(startup.wait_until, "rack", world.look)
        await trio.sleep(1.01)
        world.reason = None
        before = trio.current_time()
        startup.look_again()
    assert trio.current_time() == before


async def test_reasons_are_told_once_each_and_refuse_requests(autojump_clock: trio.testing.MockClock) -> None:
    startup, notifier, text = start()
    database, dns = World(), World()
    dns.reason = "internal DNS at [::1]:2: refused"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(startup.wait_until, "database", database.look)
        await trio.sleep(0.1)
        nursery.start_soon(startup.wait_until, "dns", dns.look)
        await trio.sleep(1)
        message = (
            "this Nexus is starting up: waiting for the database at [::1]:1: refused; and for "
            "internal DNS at [::1]:2: refused; try again"
        )
        for part in (lambda: startup.services, lambda: startup.database):
            with pytest.raises(ServiceUnavailable) as caught:
                part()
            assert str(caught.value) == message
        database.reason = "the schema"
        await trio.sleep(1)
        database.reason = dns.reason = None
    assert [json.loads(line)["reason"] for line in text.getvalue().splitlines()] == [
        "the database at [::1]:1: refused",
        "internal DNS at [::1]:2: refused",
        "the schema",
    ]
    assert notifier.said[0] == "waiting for the database at [::1]:1: refused"
    assert "waiting for the schema; and for internal DNS at [::1]:2: refused" in notifier.said
    assert notifier.said[-1] == "starting"


async def test_standby_is_told_with_its_reason_and_no_other(autojump_clock: trio.testing.MockClock) -> None:
    startup, notifier, text = start()
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(startup.wait_until, "turn", world.look)
        for reason in (Standby("the handoff"), "the database", Standby("the handoff"), None):
            await trio.sleep(1)
            world.reason = reason
    assert list(zip(notifier.said, notifier.standby, strict=True)) == [
        ("waiting for the database at [::1]:1: refused", "0"),
        ("waiting for the handoff", "1"),
        ("waiting for the database", "0"),
        ("waiting for the handoff", "1"),
        ("starting", "0"),
    ]
    assert json.loads(text.getvalue().splitlines()[1])["reason"] == "the handoff"


async def test_a_long_wait_is_said_again(autojump_clock: trio.testing.MockClock) -> None:
    startup, _, text = start()
    world = World()
    with trio.move_on_after(2.5 * REPEAT_S):
        await startup.wait_until("database", world.look)
    assert len(text.getvalue().splitlines()) == 3


async def test_nothing_is_said_when_there_is_nothing_to_wait_for(autojump_clock: trio.testing.MockClock) -> None:
    startup, notifier, text = start()
    world = World()
    world.reason = None
    await startup.wait_until("database", world.look)
    assert (text.getvalue(), notifier.said) == ("", [])
