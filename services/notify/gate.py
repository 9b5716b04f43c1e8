"""How hard to knock: freely while a provider answers, one at a time with growing pauses after."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.notify.posting import NotDelivered, Unavailable

FIRST_PAUSE, LAST_PAUSE = timedelta(milliseconds=500), timedelta(seconds=15)


class Gate:
    """Shared by all deliveries of one lane."""

    def __init__(self) -> None:
        self.successes = 0
        self.problem: NotDelivered | None = None  # why it is closed
        self._failures = 0
        self._quiet_until = 0.0
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[int]:
        """Gives what `closed_by` wants to know."""
        if self.problem is None:
            yield self._failures
            return
        async with self._one:
            await asyncio.sleep(max(0.0, self._quiet_until - _time()))
            yield self._failures

    def opened(self) -> None:
        self.successes += 1
        self.problem = None
        self._failures = 0

    def closed_by(self, problem: NotDelivered, passed_at: int) -> None:
        """Of those that passed together, only the first to fail counts."""
        if passed_at != self._failures:
            return
        self.problem = problem
        self._failures += 1
        asked = problem.retry_after if isinstance(problem, Unavailable) else None
        pause = asked or pause_after(self._failures)
        self._quiet_until = _time() + pause.total_seconds()


def pause_after(failures: int) -> timedelta:
    longest: timedelta = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LAST_PAUSE)
    return longest * random.uniform(0.8, 1.0)  # noqa: S311  (spreads load, guards nothing)


def _time() -> float:
    return asyncio.get_running_loop().time()
