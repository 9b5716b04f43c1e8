"""So many at a time, and who waits for others that never end gives up in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from shared.durations import in_seconds


class NoTurn(Exception):
    """Those before us have come to no good end for as long as we may wait; says who they are."""


class Turn:
    """What is left of the time that there is for waiting and for what comes after it."""

    def __init__(self, turns: asyncio.Semaphore, time: timedelta, ends_at: float) -> None:
        self.time = time  # that there was in the beginning
        self._turns: asyncio.Semaphore | None = turns
        self._ends_at = ends_at

    @property
    def left(self) -> timedelta:
        now = asyncio.get_running_loop().time()
        return timedelta(seconds=max(0.0, self._ends_at - now))

    def give_up(self) -> None:
        """Let the next one begin; may be called again."""
        if self._turns is not None:
            self._turns.release()
            self._turns = None


class Turns:
    """The time of who waits begins anew when somebody has come to a good end.

    So a long queue that moves is waited in, and one that stands still is left. `others` are those
    who have a turn.
    """

    def __init__(self, at_once: int, others: str) -> None:
        self._others = others
        self._free = asyncio.Semaphore(at_once)
        self._waiting: dict[asyncio.Timeout, timedelta] = {}

    @asynccontextmanager
    async def turn(self, time: timedelta) -> AsyncIterator[Turn]:
        """For as long as the context lasts; raises NoTurn."""
        turn = await self._wait(time)
        try:
            yield turn
            self._went_well()
        finally:
            turn.give_up()

    async def _wait(self, time: timedelta) -> Turn:
        limit = asyncio.timeout(time.total_seconds())
        try:
            async with limit:
                self._waiting[limit] = time
                await self._free.acquire()
        except TimeoutError as error:
            raise NoTurn(f"{self._others} did not end within {in_seconds(time)}") from error
        finally:
            self._waiting.pop(limit, None)
        ends_at = limit.when()
        assert ends_at is not None  # noqa: S101  (it was given one)
        return Turn(self._free, time, ends_at)

    def _went_well(self) -> None:
        now = asyncio.get_running_loop().time()
        for limit, time in self._waiting.items():
            if not limit.expired():
                limit.reschedule(now + time.total_seconds())
