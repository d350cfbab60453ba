"""Failed logins."""

from __future__ import annotations

from nexus.login import LoginThrottle

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
