"""One Provider's deliveries, so that one that is down delays nobody but itself.

Deliveries about the same object go out one after the other, in the order of their events; different
objects side by side. While the provider fails, the whole lane makes one attempt at a time, further
and further apart, or when the provider asked for it. A delivery is given up when the provider says
that it never will take it, when it takes others and not this one, or when it is too old to be news.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias
from weakref import WeakValueDictionary

from services.notify.courier import Obsolete
from services.notify.gate import Gate, pause_after
from services.notify.posting import NotDelivered, Refused, Rejected, Unavailable
from shared.clock import Now
from shared.consuming import Received
from shared.messages import About, AlertRef, Delivery, EventPayload
from shared.metrics import NOTIFICATIONS
from shared.resources.meta import NamespacedName

log = logging.getLogger(__name__)

# A provider that is away loses nothing for a day; one that refuses us, not before somebody had an
# hour to mend its credentials.
NEWS_FOR = timedelta(days=1)
MENDED_WITHIN = timedelta(hours=1)
HOPELESS_AFTER = 20  # failures of one delivery while others were taken: some five minutes


class Attempts(Protocol):
    async def attempt(
        self, key: NamespacedName, event: EventPayload, queued_at: datetime
    ) -> None: ...


# Told of each failed attempt: the Alert, and what is wrong.
Report: TypeAlias = Callable[[AlertRef, str], None]


class Lane:
    def __init__(self, key: NamespacedName, courier: Attempts, report: Report, now: Now) -> None:
        self._key = key
        self._courier = courier
        self._report = report
        self._now = now
        self._gate = Gate()
        self._turns: WeakValueDictionary[About, asyncio.Lock] = WeakValueDictionary()

    async def deliver(self, received: Received[Delivery]) -> None:
        """Returns when the provider has it, or when it is given up."""
        turn = self._turns.setdefault(received.body.event.involved_object.about, asyncio.Lock())
        async with turn:  # first come, first served
            result = await self._until_settled(received)
        NOTIFICATIONS.labels(result).inc()

    async def _until_settled(self, received: Received[Delivery]) -> str:
        alone, taken = 0, self._gate.successes
        while True:
            problem = await self._next_problem(received)
            if problem is None:
                return "delivered"
            if isinstance(problem, Obsolete):
                return "obsolete"
            if alone >= HOPELESS_AFTER or self._is_over(problem, received.at):
                self._give_up(received, problem)
                return "given_up"
            fails_alone = self._gate.successes > taken  # others were taken meanwhile
            if fails_alone:
                alone, taken = alone + 1, self._gate.successes
            if fails_alone or self._gate.problem is None:
                await asyncio.sleep(pause_after(max(alone, 1)).total_seconds())

    async def _next_problem(self, received: Received[Delivery]) -> Exception | None:
        closed = self._gate.problem
        if closed is not None and self._is_over(closed, received.at):
            return closed  # it need not wait for its turn to be told so
        async with self._gate.passage() as passed_at:
            problem = await self._attempt(received)
            if isinstance(problem, NotDelivered) and not isinstance(problem, Rejected):
                self._gate.failed(problem, passed_at)
            else:
                self._gate.succeeded()
        if isinstance(problem, NotDelivered):
            self._report(received.body.alert, f"Provider {self._key}: {problem}")
        return problem

    async def _attempt(self, received: Received[Delivery]) -> Exception | None:
        try:
            await self._courier.attempt(self._key, received.body.event, received.at)
        except (NotDelivered, Obsolete) as problem:
            return problem
        except Exception as error:
            log.exception("a delivery ended in an unexpected error", extra={"object": self._key})
            return Refused(f"internal error: {type(error).__name__}; see the controller's log")
        return None

    def _is_over(self, problem: Exception, queued_at: datetime) -> bool:
        if isinstance(problem, Rejected):
            return True
        limit = NEWS_FOR if isinstance(problem, Unavailable) else MENDED_WITHIN
        return self._now() - queued_at > limit

    def _give_up(self, received: Received[Delivery], problem: Exception) -> None:
        event = received.body.event
        log.error(
            "a notification is given up",
            extra={
                "object": self._key,
                "about": str(event.involved_object.about),
                "error": str(problem),
            },
        )
