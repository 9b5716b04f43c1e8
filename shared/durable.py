"""Handling each message until it is done: acknowledged on return, handed out again otherwise.

Order and safety: a message is acknowledged only after its callback returned, so a crash repeats it
and never loses it. Callbacks begin in the stream's order and run side by side, at most
`max_in_flight`; while one runs, the server is told so. A message that comes again while or after it
was handled here (an acknowledgement lost with its connection, a consumer made anew) is recognised
by its id and not handled twice.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias

import msgspec

from shared import traceparent
from shared.clock import now, rfc3339_micro
from shared.consuming import Received, bury, frames, received, stay_attached
from shared.line import BusError, Frame, Inbox, Line
from shared.metrics import DEAD_LETTERS
from shared.streams import (
    KnownConsumer,
    create_consumer,
    delete_consumer,
    ensure_stream,
    find_consumer,
    from_the_start,
    starting_at,
    starting_behind,
)
from shared.subjects import BodyT, Stream, nanoseconds

log = logging.getLogger(__name__)

DurableCallback: TypeAlias = Callable[[Received[BodyT]], Awaitable[None]]
ACK, TERMINATE, IN_PROGRESS = b"+ACK", b"+TERM", b"+WPI"
REMEMBERED = 20_000  # ids of handled messages
ATTEMPTS = 10  # of a callback that fails in a way nobody expected
LONGEST_PAUSE = timedelta(minutes=1)
# The server counts nanoseconds, we do not: what comes twice is recognised, what is missed is lost.
ROUNDING = timedelta(milliseconds=1)
DRAIN = timedelta(seconds=3)  # for callbacks that run when the consumer is stopped


class Later(Exception):
    """A callback's way to say: not now, hand it out again after a while."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"again after {after}")
        self.after = after


@dataclass(frozen=True, kw_only=True)
class DurablePlan:
    """`look_back` bounds what a consumer that is new to the server gets; None: all that is kept.

    `fresh` makes the server hand out at once and in order what an earlier process had in hand;
    only where one process at a time serves this name, and where a repetition does no harm. A
    consumer that nobody pulls from is dropped by the server after `forgotten_after`.
    """

    name: str
    subject: str
    max_in_flight: int = 64
    ack_wait: timedelta = timedelta(minutes=1)
    look_back: timedelta | None = None
    fresh: bool = False
    forgotten_after: timedelta | None = None


@dataclass
class _Flight:
    reply: str  # of the latest hand-out: acknowledging an earlier one might count for nothing
    at: datetime


class Durable(Generic[BodyT]):
    def __init__(
        self,
        line: Line,
        stream: Stream[BodyT],
        plan: DurablePlan,
        callback: DurableCallback[BodyT],
    ) -> None:
        self._line = line
        self._stream = stream
        self._plan = plan
        self._callback = callback
        self._flights: dict[str, _Flight] = {}
        self._handled: OrderedDict[str, None] = OrderedDict()
        self._landed = asyncio.Event()
        self._latest: datetime | None = None
        self._settled = False
        self._handling: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._tell_progress())
            what = f"{self._stream.name} {self._plan.name}"
            try:
                await stay_attached(self._line, what, self._listen)
            except asyncio.CancelledError:
                if self._handling:
                    await asyncio.wait(self._handling, timeout=DRAIN.total_seconds())
                raise

    async def _listen(self, inbox: Inbox) -> None:
        await ensure_stream(self._line, self._stream)
        await self._settle()
        consumer = f"{self._stream.name}.{self._plan.name}"
        async with aclosing(frames(self._line, inbox, consumer, self._room)) as incoming:
            async for frame in incoming:
                await self._take(frame)

    async def _settle(self) -> None:
        """The consumer is on the server, as planned."""
        plan = self._plan
        wanted = {
            "name": plan.name,
            "durable_name": plan.name,
            "ack_policy": "explicit",
            "ack_wait": nanoseconds(plan.ack_wait),
            "max_ack_pending": plan.max_in_flight,
            "max_deliver": -1,
        }
        if plan.forgotten_after is not None:
            wanted["inactive_threshold"] = nanoseconds(plan.forgotten_after)
        known = await find_consumer(self._line, self._stream, plan.name)
        start = self._start(known)
        if known is not None and plan.fresh and not self._settled:
            await delete_consumer(self._line, self._stream, plan.name)
            known = None
        if known is None:
            await create_consumer(self._line, self._stream, [plan.subject], wanted | start)
        elif any(known.config.get(name) != value for name, value in wanted.items()):
            await create_consumer(self._line, self._stream, [plan.subject], known.config | wanted)
        self._settled = True

    def _start(self, known: KnownConsumer | None) -> dict[str, Any]:
        """Where a new consumer begins: it is `known`'s successor, or nobody's."""
        unfinished = min((flight.at for flight in self._flights.values()), default=self._latest)
        if self._stream.settings["retention"] == "workqueue":
            return from_the_start()
        if known is not None:
            return starting_behind(known.settled_to)
        if unfinished is not None:
            return starting_at(rfc3339_micro(unfinished - ROUNDING))
        if self._plan.look_back is not None:
            return starting_at(rfc3339_micro(now() - self._plan.look_back))
        return from_the_start()

    async def _room(self) -> int:
        while len(self._flights) >= self._plan.max_in_flight:
            self._landed.clear()
            await self._landed.wait()
        return self._plan.max_in_flight - len(self._flights)

    async def _take(self, frame: Frame) -> None:
        try:
            message = received(self._stream, frame)
        except ValueError as error:
            bury(self._stream, frame, error)
            await self._answer(frame.reply, TERMINATE)
            return
        if message.id in self._handled:
            await self._answer(frame.reply, ACK)
        elif message.id in self._flights:
            self._flights[message.id].reply = frame.reply
        else:
            self._latest = message.at
            self._flights[message.id] = _Flight(frame.reply, message.at)
            trace = frame.headers.get(traceparent.HEADER, "")
            task = self._tasks.create_task(self._handle(message, trace))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)

    async def _handle(self, message: Received[BodyT], trace: str) -> None:
        with traceparent.working_for(trace):
            answer = await self._outcome(message)
        flight = self._flights.pop(message.id)
        self._landed.set()
        if answer in (ACK, TERMINATE):
            self._handled[message.id] = None
            if len(self._handled) > REMEMBERED:
                self._handled.popitem(last=False)
        await self._answer(flight.reply, answer)

    async def _outcome(self, message: Received[BodyT]) -> bytes:
        try:
            await self._callback(message)
        except Later as later:
            return _not_before(later.after)
        except Exception:
            extra = {"consumer": self._plan.name, "messageId": message.id}
            log.exception("a message's reader failed", extra=extra)
            if message.deliveries >= ATTEMPTS:
                DEAD_LETTERS.labels(self._stream.name).inc()
                return TERMINATE
            return _not_before(min(timedelta(seconds=2**message.deliveries), LONGEST_PAUSE))
        return ACK

    async def _answer(self, reply: str, answer: bytes) -> None:
        # Lost with the connection, it is handed out again, and recognised.
        with suppress(BusError):
            await self._line.send(reply, answer)

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(self._plan.ack_wait.total_seconds() / 3)
            for flight in list(self._flights.values()):
                await self._answer(flight.reply, IN_PROGRESS)


def _not_before(after: timedelta) -> bytes:
    return b"-NAK " + msgspec.json.encode({"delay": nanoseconds(after)})
