"""What expires: asked for once for all who need it, kept until shortly before its end."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from shared.clock import Now

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MARGIN = timedelta(minutes=5)  # clocks differ, and what uses a token takes a while
MOST = 1000


class Expiring(NamedTuple, Generic[V]):
    value: V
    expires_at: datetime


class _Entry(NamedTuple, Generic[V]):
    value: V
    renew_at: datetime


class Kept(Generic[K, V]):
    def __init__(self, now: Now, most: int = MOST) -> None:
        self._now = now
        self._most = most
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._asking: dict[K, _Turn] = {}

    async def get(
        self, key: K, ask: Callable[[], Awaitable[Expiring[V]]], *, fresh: bool = False
    ) -> V:
        """`fresh`: not what is known already. Failures are nobody else's: each asker tries."""
        if not fresh and (known := self._valid(key)) is not None:
            return known
        before = self._entries.get(key)
        turn = self._asking.setdefault(key, _Turn(asyncio.Lock()))
        turn.waiting += 1
        try:
            async with turn.lock:
                known = self._valid(key)
                if known is not None and self._entries[key] is not before:
                    return known  # somebody else has just asked
                if known is not None and not fresh:
                    return known
                return self._keep(key, await ask())
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._asking.pop(key, None)

    def _valid(self, key: K) -> V | None:
        entry = self._entries.get(key)
        return entry.value if entry and self._now() < entry.renew_at else None

    def _keep(self, key: K, given: Expiring[V]) -> V:
        life = given.expires_at - self._now()
        renew_at = given.expires_at - min(MARGIN, life / 5)
        self._entries[key] = _Entry(given.value, renew_at)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return given.value


class _Turn:
    def __init__(self, lock: asyncio.Lock) -> None:
        self.lock = lock
        self.waiting = 0
