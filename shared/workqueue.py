"""Names waiting to be looked at: each at most once in line, and never two runs of one at a time.

A name that is added while it runs waits for the end of that run. Urgent names (a new spec, drift, a
request) go before routine ones (intervals, the first list), but not for ever: after some urgent
ones a routine one has its turn.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from datetime import timedelta
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

URGENT_IN_A_ROW = 8


class WorkQueue(Generic[K]):
    def __init__(self) -> None:
        self._urgent: OrderedDict[K, None] = OrderedDict()
        self._routine: OrderedDict[K, None] = OrderedDict()
        self._running: set[K] = set()
        self._again: dict[K, bool] = {}  # added while running; the value says whether urgently
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()
        self._urgent_streak = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._routine)

    def add(self, key: K, *, urgent: bool = True) -> None:
        self._cancel_timer(key)
        if key in self._running:
            self._again[key] = self._again.get(key, False) or urgent
        elif urgent:
            self._routine.pop(key, None)
            self._urgent.setdefault(key)
        elif key not in self._urgent:
            self._routine.setdefault(key)
        if len(self):
            self._filled.set()

    def add_after(self, key: K, delay: timedelta) -> None:
        """Add as routine when the time has come; a later call for the name replaces this one."""
        self._cancel_timer(key)
        if key in self._urgent or key in self._routine or key in self._again:
            return  # it will be looked at sooner than that
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(
            delay.total_seconds(), lambda: self.add(key, urgent=False)
        )

    async def get(self) -> K:
        """The next name; it counts as running until `done`."""
        while not len(self):
            self._filled.clear()
            await self._filled.wait()
        key = self._next()
        self._running.add(key)
        return key

    def done(self, key: K) -> None:
        self._running.discard(key)
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))

    def forget(self, key: K) -> None:
        """The object is gone: drop what waits for it."""
        self._cancel_timer(key)
        self._urgent.pop(key, None)
        self._routine.pop(key, None)
        self._again.pop(key, None)

    def _next(self) -> K:
        routine_turn = self._urgent_streak >= URGENT_IN_A_ROW and self._routine
        if self._urgent and not routine_turn:
            self._urgent_streak += 1
            return self._urgent.popitem(last=False)[0]
        self._urgent_streak = 0
        return self._routine.popitem(last=False)[0]

    def _cancel_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
