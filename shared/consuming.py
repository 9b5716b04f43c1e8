"""What all consumers share: batches, heartbeats, decoding, and coming back after a loss.

Consumers ask the server for batches and listen for its heartbeats, so that one that went deaf is
noticed and attached anew, as after a restart of NATS or a deleted stream. What cannot be decoded is
logged, counted and passed over: it must not hold up what comes behind it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple

import msgspec

from shared.line import BusError, Frame, Inbox, Line
from shared.metrics import DEAD_LETTERS
from shared.streams import API
from shared.subjects import BodyT, Stream, nanoseconds

log = logging.getLogger(__name__)

MESSAGE_ID = "Nats-Msg-Id"
EXPIRES = timedelta(seconds=30)
HEARTBEAT = timedelta(seconds=5)
DEAF_AFTER = HEARTBEAT * 2.5
FIRST_PAUSE, LAST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=5)
# What the server says in place of a message when a batch has nothing more to give.
_HEARTBEAT = "100"
_BATCH_ENDED = frozenset({"404", "408"})


class Lost(BusError):
    """The consumer is gone: attach again."""


@dataclass(frozen=True)
class Received(Generic[BodyT]):
    """One decoded message."""

    names: tuple[str, ...]  # from its subject
    body: BodyT
    id: str
    at: datetime  # when the stream took it
    deliveries: int  # 1 for the first time


class Place(NamedTuple):
    """Where a message stands, as its reply subject tells."""

    sequence: int
    deliveries: int
    nanoseconds: int  # since 1970, when the stream took it

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.nanoseconds / 10**9, UTC)


def place_of(frame: Frame) -> Place:
    """Raises ValueError for a reply subject that is not JetStream's."""
    parts = frame.reply.split(".")
    if parts[:2] != ["$JS", "ACK"] or len(parts) < 9:
        raise ValueError(f"not from a stream: reply {frame.reply!r}")
    # Newer servers put a domain and an account before the stream's name.
    delivered, sequence, _, taken = parts[4:8] if len(parts) == 9 else parts[6:10]
    return Place(int(sequence), int(delivered), int(taken))


def received(stream: Stream[BodyT], frame: Frame) -> Received[BodyT]:
    """Raises ValueError for a message that is none of this stream's."""
    place = place_of(frame)
    try:
        body = msgspec.json.decode(frame.body, type=stream.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    identity = frame.headers.get(MESSAGE_ID) or f"{place.nanoseconds}-{place.sequence}"
    return Received(stream.names_in(frame.subject), body, identity, place.at, place.deliveries)


def bury(stream: Stream[Any], frame: Frame, error: Exception) -> None:
    """The body is not logged: nobody knows what is in it. It stays in the stream till its time."""
    DEAD_LETTERS.labels(stream.name).inc()
    log.warning(
        "a message cannot be understood and is passed over",
        extra={"subject": frame.subject, "place": frame.reply, "error": str(error)[:500]},
    )


async def frames(
    line: Line, inbox: Inbox, consumer: str, room: Callable[[], Awaitable[int]]
) -> AsyncGenerator[Frame, None]:
    """Messages of `<stream>.<consumer>`, as many at a time as `room` allows; raises BusError."""
    while True:
        due = await room()
        batch = {
            "batch": due,
            "expires": nanoseconds(EXPIRES),
            "idle_heartbeat": nanoseconds(HEARTBEAT),
        }
        await line.send(
            f"{API}.CONSUMER.MSG.NEXT.{consumer}", msgspec.json.encode(batch), inbox.subject
        )
        while due:
            frame = await inbox.next(within=DEAF_AFTER)
            status = frame.headers.get("Status")
            if status is None:
                due -= 1
                yield frame
            elif status in _BATCH_ENDED:
                due = 0
            elif status != _HEARTBEAT:
                raise Lost(f"{consumer}: {status} {frame.headers.get('Description', '')}")


async def stay_attached(line: Line, what: str, attach: Callable[[Inbox], Awaitable[None]]) -> None:
    """Run `attach` on one connection after the other, for ever."""
    pause, complaint = FIRST_PAUSE, ""
    clock = asyncio.get_running_loop().time
    while True:
        await line.connected()
        began = clock()
        try:
            async with line.inbox() as inbox:
                await attach(inbox)
        except BusError as error:
            if str(error) != complaint:
                complaint = str(error)
                log.info("listening again soon", extra={"consumer": what, "error": complaint})
        except Exception:
            log.exception("a consumer ended in an unexpected error", extra={"consumer": what})
        lasted = timedelta(seconds=clock() - began)
        pause = FIRST_PAUSE if lasted > LAST_PAUSE else min(pause * 2, LAST_PAUSE)
        await asyncio.sleep(pause.total_seconds())
