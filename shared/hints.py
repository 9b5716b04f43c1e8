"""Hearing of changes as they happen: everything from now on, also what a short outage delayed."""

import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeAlias

from shared import traceparent
from shared.consuming import Received, bury, frames, place_of, received, stay_attached
from shared.line import Frame, Inbox, Line
from shared.streams import create_consumer, ensure_stream, from_now_on, starting_at
from shared.subjects import BodyT, Stream, nanoseconds

log = logging.getLogger(__name__)

HintCallback: TypeAlias = Callable[[Received[BodyT]], None]
BATCH = 256
FORGOTTEN_AFTER = timedelta(minutes=1)  # the server drops a consumer that nobody pulls from


class Hints(Generic[BodyT]):
    """Calls back for each message, once, in order; the callback must not block.

    After a loss it goes on behind the last message that it saw, by the server's clock: so it misses
    nothing that the stream still has, whether the stream is the old one or was made anew.
    """

    def __init__(
        self,
        line: Line,
        stream: Stream[BodyT],
        subjects: Sequence[str],
        callback: HintCallback[BodyT],
    ) -> None:
        self._line = line
        self._stream = stream
        self._subjects = subjects
        self._callback = callback
        self._resume_at = ""

    async def run(self) -> None:
        await stay_attached(self._line, f"{self._stream.name} hints", self._listen)

    async def _listen(self, inbox: Inbox) -> None:
        await ensure_stream(self._line, self._stream)
        name = f"{self._line.service}-{uuid.uuid4().hex}"
        start = starting_at(self._resume_at) if self._resume_at else from_now_on()
        created = await create_consumer(
            self._line,
            self._stream,
            self._subjects,
            {
                "name": name,
                "ack_policy": "none",
                "mem_storage": True,
                "num_replicas": 1,
                "inactive_threshold": nanoseconds(FORGOTTEN_AFTER),
                **start,
            },
        )
        self._resume_at = self._resume_at or created
        async with aclosing(
            frames(self._line, inbox, f"{self._stream.name}.{name}", _whole_batch)
        ) as incoming:
            async for frame in incoming:
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        try:
            self._resume_at = _just_after(place_of(frame).nanoseconds)
            message = received(self._stream, frame)
        except ValueError as error:
            bury(self._stream, frame, error)
            return
        with traceparent.working_for(frame.headers.get(traceparent.HEADER, "")):
            try:
                self._callback(message)
            except Exception:
                log.exception("a hint's reader failed", extra={"subject": frame.subject})


async def _whole_batch() -> int:
    return BATCH


def _just_after(taken: int) -> str:
    seconds, fraction = divmod(taken + 1, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{fraction:09d}Z"
