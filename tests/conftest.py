"""Runs `async def` tests under trio."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    """A test that asks for it runs on a clock that jumps as soon as every task waits. No real I/O beside it."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    trio.run(partial(pyfuncitem.obj, **arguments), clock=arguments.get("autojump_clock"), strict_exception_groups=True)
    return True
