"""What was made of a long list of references is remembered by the list's digest.

So a server that says the same as before costs a hash, not the parsing of fifty thousand tags. What
is long is read in a thread: the others do not wait for it.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from services.source.git.advertisement import Advertisement, Ref

LONG = 32 * 1024  # some 500 references; shorter lists are read in the time of a hash
MOST_REMEMBERED = 1000

T = TypeVar("T")


class Readings:
    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Any] = {}  # the one that was used last is last

    async def answer(self, told: Advertisement, question: Callable[[list[Ref]], T]) -> T:
        """Raises ProtocolError."""
        if len(told.text) < LONG:
            return question(told.read())
        digest = await asyncio.to_thread(_digest, told.text)
        key = (digest, told.prefixes, told.older, question)
        if key in self._known:
            found: T = self._known.pop(key)
        else:
            found = await asyncio.to_thread(_read, told, question)
        self._known[key] = found
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return found


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _read(told: Advertisement, question: Callable[[list[Ref]], T]) -> T:
    return question(told.read())
