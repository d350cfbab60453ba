"""Flattening of exception groups."""

from __future__ import annotations

from dropshot.exception_groups import leaves


def test_leaves_are_found_at_any_depth_and_in_order() -> None:
    errors = [ValueError(str(number)) for number in range(4)]
    inner = ExceptionGroup("inner", [errors[1], ExceptionGroup("innermost", [errors[2]])])
    assert list(leaves(ExceptionGroup("outer", [errors[0], inner, errors[3]]))) == errors
