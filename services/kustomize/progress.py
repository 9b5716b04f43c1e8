"""What a run that takes its time is doing, for whoever watches its status.

A run that is short says nothing but its result: each word is a request to the API server and an
event to all who watch. After a second Reconciling=True is there with what is being done, and from
then on what has changed is told every few seconds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from shared.conditions import PROGRESSING
from shared.outcomes import ConditionMark, Unfinished
from shared.run import Run

FIRST_WORD_AFTER = 1.0
NEXT_WORD_AFTER = 5.0
IN_PROGRESS = "Reconciliation in progress"

log = logging.getLogger(__name__)


class Progress:
    """`is_moving`: the cluster is known to differ from what is wanted, so Ready is Unknown."""

    def __init__(self, run: Run, *, is_moving: bool) -> None:
        self.is_moving = is_moving
        self._run = run
        self._doing: Callable[[], str] = lambda: IN_PROGRESS
        self._also: str | None = None
        self._told: str | None = None
        self._writing = asyncio.Lock()
        self._next_word = asyncio.get_running_loop().time() + FIRST_WORD_AFTER

    def doing(self, doing: Callable[[], str], *, also: str | None = None) -> None:
        """From now on; `also` is a condition type that is Unknown meanwhile."""
        self._doing, self._also = doing, also

    async def tell(self, status: Mapping[str, Any] | None = None) -> None:
        """Now, and on record before what comes next."""
        async with self._writing:
            message = self._doing()
            also = {self._also: ConditionMark("Unknown", PROGRESSING, message)}
            self._next_word = asyncio.get_running_loop().time() + NEXT_WORD_AFTER
            await self._run.progress(
                message,
                ready_message=IN_PROGRESS,
                ready_unknown=self.is_moving,
                status=status,
                conditions={name: mark for name, mark in also.items() if name is not None},
            )
            self._told = message

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """A word that is being written when the block ends is waited for: the last one is ours."""
        ended = asyncio.Event()
        telling = asyncio.create_task(self._keep_telling(ended), name="progress")
        try:
            yield
        finally:
            ended.set()
            await telling

    async def _keep_telling(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_word):
                    await ended.wait()
                return
            if self._next_word <= asyncio.get_running_loop().time():
                await self._tell_news()

    async def _tell_news(self) -> None:
        if self._doing() == self._told:
            self._next_word = asyncio.get_running_loop().time() + NEXT_WORD_AFTER
            return
        try:
            await self.tell()
        except Unfinished as error:
            # The closing status is tried again until it is written, and says it all.
            log.info("progress could not be told", extra={"error": str(error)})
