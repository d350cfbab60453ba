"""Failed logins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from nexus.errors import Unauthenticated
from nexus.login import Logins, LoginThrottle
from nexus.rack import is_silo_name, is_user_name

if TYPE_CHECKING:
    from nexus.db.pool import Pool

NAME = ("silo", "user")


def failed(throttle: LoginThrottle, times: int, *, now_s: float) -> None:
    for _ in range(times):
        throttle.failed(NAME, now_s=now_s)


def test_some_failures_are_free_then_one_waits() -> None:
    throttle = LoginThrottle()
    failed(throttle, LoginThrottle.FAILURES_ALLOWED - 1, now_s=0)
    assert throttle.seconds_to_wait(NAME, now_s=1) == 0
    failed(throttle, 1, now_s=1)
    assert throttle.seconds_to_wait(NAME, now_s=11) == LoginThrottle.PERIOD_S - 10
    assert throttle.seconds_to_wait(("silo", "another"), now_s=11) == 0


def test_waiting_or_a_success_starts_afresh() -> None:
    throttle = LoginThrottle()
    failed(throttle, LoginThrottle.FAILURES_ALLOWED, now_s=0)
    after = LoginThrottle.PERIOD_S + 1
    assert throttle.seconds_to_wait(NAME, now_s=after) == 0
    failed(throttle, 1, now_s=after)
    assert throttle.seconds_to_wait(NAME, now_s=after) == 0
    failed(throttle, LoginThrottle.FAILURES_ALLOWED, now_s=after)
    throttle.succeeded(NAME)
    assert throttle.seconds_to_wait(NAME, now_s=after) == 0


def test_names_are_forgotten_oldest_first() -> None:
    throttle = LoginThrottle()
    failed(throttle, LoginThrottle.FAILURES_ALLOWED, now_s=0)
    for number in range(LoginThrottle.NAMES_REMEMBERED):
        throttle.failed(("silo", str(number)), now_s=0)
    assert throttle.seconds_to_wait(NAME, now_s=0) == 0


@pytest.mark.parametrize(
    "text",
    ["", "1a", "a-", "-a", "A", "a b", "a\0", "a\n", "é", "a" * 64, "f7765d6a-6e45-4c13-8904-2677b79a97eb"],
)
async def test_what_cannot_be_a_name_is_neither_looked_up_nor_remembered(text: str) -> None:
    assert not is_user_name(text)
    no_pool = cast("Pool", object())
    logins = Logins(no_pool, idle_timeout=timedelta(hours=1), absolute_timeout=timedelta(hours=1))
    for silo_name, user_name in (("silo", text), (text, "user")):
        for _ in range(LoginThrottle.FAILURES_ALLOWED + 1):
            with pytest.raises(Unauthenticated):
                await logins.log_in(silo_name=silo_name, user_name=user_name, password="x")


def test_names_that_upstream_allows() -> None:
    for text in ("a", "test-privileged", "a" * 63, "aB9"):
        assert is_user_name(text)
    assert is_silo_name("test-suite-silo")
    assert not is_silo_name("aB9")
