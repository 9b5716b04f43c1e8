"""CEL: the expressions in which users say when an object is healthy, or a dependency ready.

They are tenants' programs about other people's objects, so they run in a jailed process that does
nothing else, apart from the one that renders: what breaks it costs nobody a build. The process is
started when somebody first asks, for most clusters have no expression at all. An expression that
broke it is not asked again for a while, whoever asks; see docs/decisions/0010-cel-in-the-jail.md.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from shared.engine import MEBIBYTE, Engine
from shared.engine_messages import Answered, EngineError, EngineLimit, Question
from shared.outcomes import Failed, Stalled

MEMORY = 192 * MEBIBYTE
DEADLINE = timedelta(seconds=3)  # the engine itself ends what takes half of it
BATCH = 8 * MEBIBYTE  # of objects in one request
ASK_AGAIN = timedelta(minutes=10)
REMEMBERED = 1000  # texts
TERMINAL = "Reconciliation failed terminally due to configuration error"

K = TypeVar("K")
V = TypeVar("V")


class InvalidExpression(Stalled):
    reason = "InvalidCELExpression"

    def __init__(self, field: str, problem: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{TERMINAL}: {field}: {problem}", retry_after=retry_after)


class NoAnswers(Failed):
    """The program that evaluates does not run."""


class Asks(Protocol):
    """The part of `Expressions` that others need."""

    async def require_valid(
        self, texts: dict[str, str], declared: tuple[str, ...] = ()
    ) -> None: ...

    async def answers(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]: ...


class Expressions:
    """`binary` is the engine's program; enter through `ready`."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._asked = asyncio.Event()
        self._engine: asyncio.Future[Engine] = asyncio.get_running_loop().create_future()
        self._broke: OrderedDict[tuple[str, ...], tuple[float, str]] = OrderedDict()
        self._valid: OrderedDict[Question, None] = OrderedDict()

    @classmethod
    @asynccontextmanager
    async def ready(cls, binary: Path, folder: Path) -> AsyncIterator["Expressions"]:
        expressions = cls(binary, folder)
        keeper = asyncio.create_task(expressions._keep())
        try:
            yield expressions
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def require_valid(self, texts: dict[str, str], declared: tuple[str, ...] = ()) -> None:
        """`texts` by the field that holds them; raises InvalidExpression, or NoAnswers."""
        if not texts:
            return
        question = Question(expressions=tuple(texts.values()), declared=declared)
        if question in self._valid:
            self._valid.move_to_end(question)
            return
        (answers,) = await self.answers([question])
        for field, answer in zip(texts, answers, strict=True):
            if answer.invalid:
                raise InvalidExpression(field, answer.invalid)
            if answer.problem:
                raise InvalidExpression(field, answer.problem, retry_after=ASK_AGAIN)
        _remember(self._valid, question, None)

    async def answers(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]:
        """One answer to each expression of each question; raises NoAnswers."""
        answers: list[tuple[Answered, ...]] = []
        for batch in _batches(questions):
            answers += await self._answers(batch)
        return answers

    async def _answers(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]:
        if any(self._is_set_aside(question) for question in questions):
            return await self._one_by_one(questions)
        try:
            return await self._asked_of_engine(questions)
        except EngineLimit as limit:
            if len(questions) > 1:
                return await self._one_by_one(questions)
            return [self._set_aside(questions[0], str(limit))]
        except EngineError as error:
            raise NoAnswers(f"CEL expressions cannot be evaluated: {error}") from error

    async def _asked_of_engine(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]:
        """The engine answers as many at once as it has time for."""
        self._asked.set()
        engine = await asyncio.shield(self._engine)
        answers: list[tuple[Answered, ...]] = []
        while len(answers) < len(questions):
            answers += await engine.answer(questions[len(answers) :])
        return answers

    async def _one_by_one(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]:
        """What broke it is among these."""
        answers = []
        for question in questions:
            broken = self._is_set_aside(question)
            answers.append(broken or (await self._answers([question]))[0])
        return answers

    def _is_set_aside(self, question: Question) -> tuple[Answered, ...] | None:
        since, problem = self._broke.get(question.expressions, (None, ""))
        if since is None or since + ASK_AGAIN.total_seconds() < asyncio.get_running_loop().time():
            return None
        return (Answered(problem=problem),) * len(question.expressions)

    def _set_aside(self, question: Question, problem: str) -> tuple[Answered, ...]:
        told = f"set aside, it broke the program that evaluates it: {problem}"
        now = asyncio.get_running_loop().time()
        _remember(self._broke, question.expressions, (now, told))
        return (Answered(problem=told),) * len(question.expressions)

    async def _keep(self) -> None:
        """The process, from the first question on; one that does not start is tried again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            await self._asked.wait()
            engine = Engine(
                self._binary,
                readable=self._folder,
                memory_limit=MEMORY,
                deadline=DEADLINE,
                warm=False,
            )
            try:
                async with engine:
                    self._engine.set_result(engine)
                    await asyncio.Event().wait()
            except EngineError as error:
                self._asked.clear()
                self._engine.set_exception(error)
                self._engine.exception()  # whoever asked may be gone
                self._engine = asyncio.get_running_loop().create_future()


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _batches(questions: Sequence[Question]) -> list[list[Question]]:
    batches: list[list[Question]] = []
    room = 0
    for question in questions:
        size = len(msgspec.json.encode(question))
        if size > room or not batches:
            batches.append([])
            room = BATCH
        batches[-1].append(question)
        room -= size
    return batches
