"""How hard to knock: freely while a provider answers, one at a time with growing pauses after.

A failure now and then closes nothing: only several in a row, or a provider that asks for patience.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.notify.posting import NotDelivered, Unavailable

FIRST_PAUSE, LAST_PAUSE = timedelta(milliseconds=500), timedelta(seconds=15)
CLOSES_AFTER = 3  # failures with no success between them


class Gate:
    """Shared by all deliveries of one lane."""

    def __init__(self) -> None:
        self.successes = 0
        self.problem: NotDelivered | None = None  # why it is closed
        self._failures = 0  # in a row
        self._closings = 0  # the same, but of those that passed together only one counts
        self._quiet_until = 0.0
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[int]:
        """Gives what `failed` wants to know."""
        if self.problem is None:
            yield self._closings
            return
        async with self._one:
            await asyncio.sleep(max(0.0, self._quiet_until - _time()))
            yield self._closings

    def succeeded(self) -> None:
        self.successes += 1
        self.problem = None
        self._failures = self._closings = 0

    def failed(self, problem: NotDelivered, passed_at: int) -> None:
        self._failures += 1
        asked = problem.retry_after if isinstance(problem, Unavailable) else None
        is_streak = self._failures >= CLOSES_AFTER
        if passed_at != self._closings or not (self.problem or is_streak or asked):
            return
        self.problem = problem
        self._closings += 1
        pause = asked or pause_after(self._closings)
        self._quiet_until = _time() + pause.total_seconds()


def pause_after(failures: int) -> timedelta:
    longest: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LAST_PAUSE)
    return longest * random.uniform(0.8, 1.0)  # noqa: S311  (spreads load, guards nothing)


def _time() -> float:
    return asyncio.get_running_loop().time()
