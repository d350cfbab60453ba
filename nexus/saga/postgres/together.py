"""What is asked for while one transaction is under way shares the next one.

Without that a process that recovers a thousand sagas would wait for a thousand commits. There is no timer, and no task:
whoever finds nobody asking asks at once, for all who wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from nexus.saga.errors import SagaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Q = TypeVar("Q")
A = TypeVar("A")

MAX_TOGETHER = 256
"""Questions in one transaction: its round trips are then a small part of the time it takes, and it stays short."""


class _Asked(Generic[Q, A]):
    __slots__ = ("answer", "answered", "question")

    def __init__(self, question: Q) -> None:
        self.question = question
        self.answered = False
        self.answer: A | Exception

    def reply(self, answer: A | Exception) -> None:
        self.answer = answer
        self.answered = True


class Together(Generic[Q, A]):
    """Puts questions to `answer_all`, several at a time, one call after the other.

    It returns an answer, or an error of its own, for each question. A SagaError that it raises is the answer to all.
    Any other exception is a bug that one question has met: they are put to it again one by one, to find whose it is.
    """

    def __init__(self, answer_all: Callable[[Sequence[Q]], Awaitable[Sequence[A | SagaError]]]) -> None:
        self._answer_all = answer_all
        self._waiting: list[_Asked[Q, A]] = []
        self._asking = False
        self._asking_ended = trio.lowlevel.ParkingLot()

    async def ask(self, question: Q) -> A:
        """Raises the error that is the answer. Cancelled, it leaves the question answered or not."""
        asked: _Asked[Q, A] = _Asked(question)
        self._waiting.append(asked)
        try:
            while not asked.answered:
                if self._asking:
                    await self._asking_ended.park()
                else:
                    await self._ask_for_all()
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)
        if isinstance(asked.answer, Exception):
            raise asked.answer
        return asked.answer

    async def _ask_for_all(self) -> None:
        batch, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
        self._asking = True
        try:
            await self._answer(batch)
        except BaseException:
            self._waiting[:0] = [asked for asked in batch if not asked.answered]  # for the next who asks
            raise
        finally:
            self._asking = False
            self._asking_ended.unpark_all()

    async def _answer(self, batch: Sequence[_Asked[Q, A]]) -> None:
        try:
            answers = await self._answer_all([asked.question for asked in batch])
        except SagaError as error:
            for asked in batch:
                asked.reply(error)
        except Exception as error:
            if len(batch) == 1:
                batch[0].reply(error)
                return
            for asked in batch:
                await self._answer([asked])
        else:
            for asked, answer in zip(batch, answers, strict=True):
                asked.reply(answer)
