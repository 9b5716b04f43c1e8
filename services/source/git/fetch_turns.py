"""Which fetch may begin: each is a process, and a server that hangs must not use all of them up.

There is a bound for each server, and two for all of them: strangers have turns of their own, so
those among them that hang keep only other strangers waiting. A server is known once a fetch from it
has ended well, until one takes too long. Whoever is slow makes room for the next.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from services.source.git.runner import GitTimeout
from services.source.turns import NoTurn, Turn, Turns

AT_ONE_SERVER = 8
OF_KNOWN_SERVERS = 16
OF_STRANGERS = 12
SLOW = timedelta(seconds=2)
MOST_SLOW = 32  # beyond the others
MOST_KNOWN = 5000
_OTHERS = "fetches from other servers"


class FetchTurns:
    def __init__(self, slow: timedelta = SLOW) -> None:
        self._at: WeakValueDictionary[str, Turns] = WeakValueDictionary()
        self._of_known = Turns(OF_KNOWN_SERVERS, _OTHERS)
        self._of_strangers = Turns(OF_STRANGERS, _OTHERS)
        self._known: set[str] = set()
        self._slow_after = slow
        self._slow = 0

    @asynccontextmanager
    async def turn(self, url: str, time: timedelta) -> AsyncIterator[Turn]:
        """`time` is for waiting and fetching together; raises GitTimeout."""
        server = urlsplit(url).netloc
        at_server = self._at.setdefault(server, Turns(AT_ONE_SERVER, f"fetches from {server}"))
        async with AsyncExitStack() as stack:
            try:
                turn = await stack.enter_async_context(at_server.turn(time))
                lane = self._of_known if server in self._known else self._of_strangers
                turn = await stack.enter_async_context(lane.turn(turn.left))
            except NoTurn as error:
                raise GitTimeout(f"had to wait: {error}") from error
            stack.enter_context(self._making_room(turn))
            stack.enter_context(self._judging(server))
            yield turn

    @contextmanager
    def _making_room(self, turn: Turn) -> Iterator[None]:
        """When this takes long, as far as there is memory for more."""
        slow = False

        def make_room() -> None:
            nonlocal slow
            if self._slow < MOST_SLOW:
                slow = True
                self._slow += 1
                turn.give_up()

        timer = asyncio.get_running_loop().call_later(self._slow_after.total_seconds(), make_room)
        try:
            yield
        finally:
            timer.cancel()
            self._slow -= slow

    @contextmanager
    def _judging(self, server: str) -> Iterator[None]:
        try:
            yield
        except GitTimeout:
            self._known.discard(server)
            raise
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(server)
