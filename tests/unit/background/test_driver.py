"""When background tasks run, in what state they are said to be, and that nothing stops them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from nexus.api.types import (
    Completed,
    CompletedDetails,
    Duration,
    Idle,
    NeverCompleted,
    Running,
    RunningDetails,
)
from nexus.background.activator import Watch
from nexus.background.driver import Driver, TaskDefinition, UnknownTasks
from nexus.db.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

LOG = structlog.get_logger()
EPOCH = datetime(2026, 1, 2, tzinfo=UTC)


def now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


class Gated:
    """A task that stays in its activation until it is let go, and then says how often it was activated."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = trio.Event()
        self.gate.set()
        self.running = 0

    async def activate(self) -> object:
        self.running += 1
        assert self.running == 1, "activations of one task never overlap"
        self.runs += 1
        await self.gate.wait()
        self.running -= 1
        return {"runs": self.runs}


def definition(task: object, *watches: Watch[int], name: str = "task", period_s: float = 60) -> TaskDefinition:
    return TaskDefinition(name=name, description="", period_s=period_s, task=task, watches=watches)  # type: ignore[arg-type]


@asynccontextmanager
async def running(*definitions: TaskDefinition) -> AsyncIterator[Driver]:
    driver = Driver(definitions, log=LOG, now=now)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        yield driver
        nursery.cancel_scope.cancel()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def last(driver: Driver, name: str = "task") -> CompletedDetails:
    result = driver.status(name).last
    assert isinstance(result, Completed)
    return result.details


async def test_runs_at_once_and_then_by_its_period(autojump_clock: MockClock) -> None:
    task = Gated()
    async with running(definition(task, period_s=60)) as driver:
        await trio.sleep(0.5)
        assert task.runs == 1
        assert last(driver).reason == "timeout"
        await trio.sleep(59)
        assert task.runs == 1
        await trio.sleep(1)
        assert task.runs == 2
        await trio.sleep(600)
        assert task.runs == 12


async def test_status_from_before_the_start_to_a_second_run(autojump_clock: MockClock) -> None:
    task = Gated()
    driver = Driver([definition(task)], log=LOG, now=now)
    status = driver.status("task")
    assert (status.current, status.last, status.period) == (Idle(), NeverCompleted(), Duration(60, 0))
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        await trio.sleep(1)
        task.gate = trio.Event()
        driver.activate(["task"])
        await trio.sleep(2.5)
        first = Completed(CompletedDetails(1, EPOCH, "timeout", Duration(0, 0), {"runs": 1}))
        status = driver.status("task")
        assert status.current == Running(RunningDetails(EPOCH + timedelta(seconds=1), "signaled", 2))
        assert status.last == first, "kept until the next run has ended"
        task.gate.set()
        await settle()
        status = driver.status("task")
        assert status.current == Idle()
        assert status.last == Completed(
            CompletedDetails(2, EPOCH + timedelta(seconds=1), "signaled", Duration(2, 500_000_000), {"runs": 2})
        )
        nursery.cancel_scope.cancel()


async def test_requests_while_running_cause_exactly_one_more_run(autojump_clock: MockClock) -> None:
    task = Gated()
    task.gate = trio.Event()
    async with running(definition(task)) as driver:
        await settle()
        for _ in range(10):
            driver.activate(["task"])
        task.gate.set()
        await settle()
        assert task.runs == 2
        await settle()
        assert task.runs == 2


async def test_a_request_from_before_the_start_is_kept(autojump_clock: MockClock) -> None:
    task = Gated()
    driver = Driver([definition(task)], log=LOG, now=now)
    driver.activate(["task"])
    driver.activate(["task"])
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        await settle()
        assert task.runs == 2
        assert last(driver).reason == "signaled"
        nursery.cancel_scope.cancel()


async def test_a_request_does_not_move_the_period(autojump_clock: MockClock) -> None:
    task = Gated()
    async with running(definition(task, period_s=60)) as driver:
        await trio.sleep(59)
        driver.activate(["task"])
        await settle()
        assert task.runs == 2
        await trio.sleep(1.5)
        assert task.runs == 3


async def test_a_late_tick_delays_the_following_ones(autojump_clock: MockClock) -> None:
    task = Gated()
    task.gate = trio.Event()
    async with running(definition(task, period_s=60)):
        await trio.sleep(200)  # three ticks are missed
        task.gate.set()
        await settle()
        assert task.runs == 2, "made up for once"
        await trio.sleep(59)
        assert task.runs == 2
        await trio.sleep(1.5)
        assert task.runs == 3


async def test_runs_when_what_it_depends_on_changes(autojump_clock: MockClock) -> None:
    config, servers = Watch(0), Watch(0)
    task = Gated()
    config.send(1)  # before the task subscribed: the first run sees it
    async with running(definition(task, config, servers)) as driver:
        await settle()
        assert task.runs == 1
        config.send(2)
        await settle()
        assert (task.runs, last(driver).reason) == (2, "dependency")
        task.gate = trio.Event()
        config.send(3)
        await settle()
        config.send(4)
        config.send(5)
        task.gate.set()
        await settle()
        assert task.runs == 4, "changes while it runs coalesce"


async def test_two_tasks_may_depend_on_the_same(autojump_clock: MockClock) -> None:
    watch = Watch(0)
    one, two = Gated(), Gated()
    async with running(definition(one, watch, name="one"), definition(two, watch, name="two")):
        await settle()
        watch.send(1)
        await settle()
        assert (one.runs, two.runs) == (2, 2)


async def test_tasks_do_not_wait_for_each_other(autojump_clock: MockClock) -> None:
    stuck, free = Gated(), Gated()
    stuck.gate = trio.Event()
    async with running(definition(stuck, name="stuck"), definition(free, name="free")) as driver:
        await trio.sleep(599)
        assert (stuck.runs, free.runs) == (1, 10)
        assert isinstance(driver.status("stuck").current, Running)


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    async def activate(self) -> object:
        if self.error is not None:
            raise self.error
        return {}


@pytest.mark.parametrize(
    ("error", "text", "level"),
    [
        (ValueError("no such thing"), "no such thing", "error"),
        (KeyError(), "KeyError", "error"),
        (ExceptionGroup("two", [ValueError(), OSError()]), "two (2 sub-exceptions)", "error"),
        (DatabaseUnavailable("the database is away"), "the database is away", "warning"),
    ],
)
async def test_an_exception_is_the_result_and_not_the_end(
    autojump_clock: MockClock, error: Exception, text: str, level: str
) -> None:
    task = Failing(error)
    with capture_logs() as logs:
        async with running(definition(task)) as driver:
            await settle()
            assert last(driver).details == {"error": text}
            task.error = None
            driver.activate(["task"])
            await settle()
            assert (last(driver).iteration, last(driver).details) == (2, {})
    (entry,) = [entry for entry in logs if entry["log_level"] != "debug"]
    assert (entry["log_level"], entry["background_task"]) == (level, "task")


async def test_of_a_database_that_stays_away_a_task_warns_once(autojump_clock: MockClock) -> None:
    task = Failing(DatabaseUnavailable("the database is away"))
    with capture_logs() as logs:
        async with running(definition(task)) as driver:
            for error in (task.error, task.error, None, DatabaseUnavailable("the database is away again")):
                task.error = error
                driver.activate(["task"])
                await settle()
    warnings = [entry["error"] for entry in logs if entry["log_level"] == "warning"]
    assert warnings == ["the database is away", "the database is away again"]


async def test_details_that_are_not_json_are_an_error_too(autojump_clock: MockClock) -> None:
    class Odd:
        async def activate(self) -> object:
            return {"not json": object()}

    async with running(definition(Odd())) as driver:
        await settle()
        assert "object" in last(driver).details["error"]


async def test_once_stopped_it_runs_nothing_and_tells_what_was_last(autojump_clock: MockClock) -> None:
    watch = Watch(0)
    task, idle = Gated(), Gated()
    async with running(definition(task, watch), definition(idle, watch, name="idle")) as driver:
        await settle()
        before = driver.statuses()
        task.gate = trio.Event()
        driver.activate(["task"])
        await settle()
        assert isinstance(driver.status("task").current, Running)
        assert driver.stopped is None
        await driver.stop("over")
        assert driver.stopped == "over"
        assert driver.statuses() == before
        driver.activate(["task"])
        watch.send(1)
        await trio.sleep(600)
        assert (task.runs, idle.runs) == (2, 1)
        assert driver.statuses() == before


async def test_stopping_waits_for_a_task_that_cleans_up(autojump_clock: MockClock) -> None:
    class Tidy:
        async def activate(self) -> object:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(3)

    async with running(definition(Tidy())) as driver:
        await settle()
        await driver.stop("over")
        assert trio.current_time() == 3
        assert driver.status("task").current == Idle()


async def test_activation_is_all_or_nothing(autojump_clock: MockClock) -> None:
    task = Gated()
    async with running(definition(task)) as driver:
        await settle()
        with pytest.raises(UnknownTasks, match=r"^background tasks: nope, other$") as caught:
            driver.activate(["task", "other", "nope", "other"])
        assert caught.value.names == ("nope", "other")
        await settle()
        assert task.runs == 1


async def test_listing_is_by_name(autojump_clock: MockClock) -> None:
    driver = Driver([definition(Gated(), name=name) for name in "cab"], log=LOG, now=now)
    assert list(driver.statuses()) == ["a", "b", "c"]
    with pytest.raises(UnknownTasks):
        driver.status("d")
    with pytest.raises(ValueError, match="same name"):
        Driver([definition(Gated()), definition(Gated())], log=LOG)


async def test_a_task_that_never_waits_lets_others_run(autojump_clock: MockClock) -> None:
    class Eager:
        def __init__(self) -> None:
            self.watch = Watch(0)

        async def activate(self) -> object:
            self.watch.send(1)
            return None

    task = Eager()
    async with running(TaskDefinition(name="eager", description="", period_s=60, task=task, watches=(task.watch,))):
        for _ in range(10):
            await trio.lowlevel.checkpoint()
