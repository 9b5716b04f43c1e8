"""Events as they come in, over NATS and over HTTP: checked, told once, fanned out in order.

Over NATS: a durable consumer, so nothing is lost while this service is away. Over HTTP: for other
producers of Flux's API; an event is accepted when it is safely in the same stream, and not before.
"""

import asyncio
import logging
import uuid
from datetime import timedelta
from typing import Protocol

import msgspec

from services.notify.dedupe import Recent
from services.notify.event import MalformedEvent, checked, with_known_metadata
from shared.consuming import Received
from shared.durable import DurablePlan
from shared.line import BusError
from shared.messages import EventPayload
from shared.metrics import DEAD_LETTERS, NOTIFICATIONS
from shared.subjects import EVENTS, Stream, event_subject

log = logging.getLogger(__name__)

# A consumer that somebody deleted while we were away begins an hour back: what is told twice then
# is a nuisance, what is never told is a gap.
PLAN = DurablePlan(name="notify", subject=EVENTS.subjects, look_back=timedelta(hours=1), fresh=True)
AGAIN_AFTER = timedelta(seconds=1)


class FanOut(Protocol):
    async def __call__(self, event: EventPayload, event_id: str) -> None: ...


class Streams(Protocol):
    """The part of `Bus` that is needed here."""

    async def store(
        self, stream: Stream[EventPayload], subject: str, body: EventPayload, *, message_id: str
    ) -> None: ...


class SaidAlready(Exception):
    """The same event was taken within the last minutes."""


class Intake:
    def __init__(self, streams: Streams, fan_out: FanOut, recent: Recent) -> None:
        self._streams = streams
        self._fan_out = fan_out
        self._recent = recent
        self._in_order = asyncio.Lock()

    async def accept(self, body: bytes) -> None:
        """From HTTP. Returns when the stream has it.

        Raises MalformedEvent, SaidAlready, or BusError when it cannot be kept now.
        """
        event = with_known_metadata(checked(_decoded(body)))
        event_id = uuid.uuid4().hex
        if self._recent.has(event, event_id):
            raise SaidAlready
        await self._streams.store(EVENTS, event_subject(event), event, message_id=event_id)
        self._recent.add(event, event_id)

    async def take(self, received: Received[EventPayload]) -> None:
        """From NATS; one after the other, because a reader wants to hear things in order."""
        async with self._in_order:
            try:
                event = with_known_metadata(_honest(received))
            except MalformedEvent as error:
                DEAD_LETTERS.labels(EVENTS.name).inc()
                log.warning("an event is passed over", extra={"error": str(error)})
                return
            if self._recent.has(event, received.id):
                NOTIFICATIONS.labels("said_already").inc()
                return
            await self._until_fanned_out(event, received.id)
            self._recent.add(event, received.id)

    async def _until_fanned_out(self, event: EventPayload, event_id: str) -> None:
        # In place, not handed back: what comes behind must not overtake it.
        while True:
            try:
                await self._fan_out(event, event_id)
            except BusError as error:
                log.info("deliveries wait for NATS", extra={"error": str(error)})
                await asyncio.sleep(AGAIN_AFTER.total_seconds())
            else:
                return


def _decoded(body: bytes) -> EventPayload:
    try:
        return msgspec.json.decode(body, type=EventPayload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(f"not an event: {error}") from error


def _honest(received: Received[EventPayload]) -> EventPayload:
    """NATS checked the subject against the sender's rights; the body must say the same."""
    event = checked(received.body)
    if received.names != (event.severity, *event.involved_object.about):
        raise MalformedEvent(f"sent as {received.names}, speaks of {event.involved_object.about}")
    return event
