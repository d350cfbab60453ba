"""Questions that share a transaction share no fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

from nexus.saga.postgres.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence


async def test_a_fault_is_told_to_whom_it_concerns_alone() -> None:
    async def answer_all(questions: Sequence[int]) -> list[int]:
        await trio.testing.wait_all_tasks_blocked()
        return [1 // question for question in questions]

    together = Together(answer_all)
    answers: dict[int, object] = {}

    async def ask(question: int) -> None:
        try:
            answers[question] = await together.ask(question)
        except ZeroDivisionError:
            answers[question] = "a fault"

    async with trio.open_nursery() as nursery:
        for question in range(-3, 4):
            nursery.start_soon(ask, question)
    assert answers == {-3: -1, -2: -1, -1: -1, 0: "a fault", 1: 1, 2: 0, 3: 0}
