"""The bus as services use it: NATS makes Penstock fast, and nothing waits for it or fails with it.

`publish` sends a hint and never blocks or raises: while NATS is away hints are dropped, because
the API server holds the truth. `store` is for what must not be lost, and says so when it could not.
`hints` and `durable` listen, for as long as the bus is open, whatever happens to NATS meanwhile.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shared import traceparent
from shared.consuming import MESSAGE_ID
from shared.durable import DRAIN, Durable, DurableCallback, DurablePlan
from shared.hints import HintCallback, Hints
from shared.line import CLOSE_WITHIN, BusError, Line, NobodyListens
from shared.messages import About, Body
from shared.metrics import HINTS_DROPPED
from shared.object_store import ObjectStore
from shared.streams import answer_of, ensure_stream
from shared.subjects import MAX_BODY_BYTES, BodyT, Bucket, Stream

log = logging.getLogger(__name__)

HINTS_WAITING = 1000  # a longer queue would only carry staler hints


class TooLarge(BusError):
    """The message is over the limit and will never be taken."""


class _Hint(NamedTuple):
    stream: Stream[Any]
    subject: str
    body: bytes
    headers: dict[str, str]


class Subscription:
    """Ends with the bus, or earlier by `stop`; what runs then has a moment to finish."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def stop(self) -> None:
        self._task.cancel()

    async def ended(self) -> None:
        """Stop, and return when nothing of it runs any more."""
        self.stop()
        await asyncio.wait([self._task])


class Bus:
    def __init__(self, line: Line, tasks: asyncio.TaskGroup) -> None:
        self._line = line
        self._tasks = tasks
        self._waiting: asyncio.Queue[_Hint] = asyncio.Queue(HINTS_WAITING)
        self._running: set[asyncio.Task[None]] = set()
        self._ensured: set[str] = set()
        self._ensured_on = 0

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, *, credentials: Path | None = None, service: str
    ) -> AsyncIterator["Bus"]:
        """Ready at once, connected or not; see `shared.line`."""
        async with (
            Line.open(url, credentials=credentials, service=service) as line,
            asyncio.TaskGroup() as tasks,
        ):
            bus = cls(line, tasks)
            bus._keep(bus._send_hints())
            try:
                yield bus
            finally:
                await bus._stop_all(within=DRAIN + CLOSE_WITHIN)
                await line.close()
                # Who hung in the library underneath gets its error now, and then its end.
                await bus._stop_all(within=CLOSE_WITHIN)

    @property
    def is_connected(self) -> bool:
        return self._line.is_connected

    async def connected(self) -> None:
        await self._line.connected()

    def publish(self, stream: Stream[BodyT], about: About, body: BodyT) -> None:
        """A hint: sent soon, or dropped and counted."""
        if not self.is_connected or self._waiting.full():
            HINTS_DROPPED.labels(stream.name).inc()
            return
        headers = _headers(uuid.uuid4().hex, traceparent.current())
        self._waiting.put_nowait(
            _Hint(stream, stream.about(about), msgspec.json.encode(body), headers)
        )

    async def store(
        self,
        stream: Stream[Any],
        subject: str,
        body: Body | bytes,
        *,
        message_id: str,
        trace: str = "",
    ) -> None:
        """Returns once the stream has it; the same id again, within its window, changes nothing.

        Raises BusUnavailable (try again), TooLarge or Refused.
        """
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if len(payload) > MAX_BODY_BYTES:
            raise TooLarge(f"{subject}: {len(payload)} bytes, over the limit of {MAX_BODY_BYTES}")
        headers = _headers(message_id, trace or traceparent.current())
        await self._store(_Hint(stream, subject, payload, headers))

    def hints(
        self, stream: Stream[BodyT], subjects: Sequence[str], callback: HintCallback[BodyT]
    ) -> Subscription:
        """Call back, at once and without blocking, for each new message on these subjects."""
        return self._keep(Hints(self._line, stream, subjects, callback).run())

    def durable(
        self, stream: Stream[BodyT], plan: DurablePlan, callback: DurableCallback[BodyT]
    ) -> Subscription:
        """Call back for each message that nobody has acknowledged under this name yet."""
        return self._keep(Durable(self._line, stream, plan, callback).run())

    def objects(self, bucket: Bucket) -> ObjectStore:
        """Blobs, for what is too large for a message."""
        return ObjectStore(self._line, bucket)

    async def _store(self, message: _Hint) -> None:
        await self._ensure(message.stream)
        _, subject, body, headers = message
        try:
            frame = await self._line.request(subject, body, headers)
        except NobodyListens:
            # The stream was deleted while we ran.
            self._ensured.discard(message.stream.name)
            await self._ensure(message.stream)
            frame = await self._line.request(subject, body, headers)
        answer_of(frame, subject)

    async def _send_hints(self) -> None:
        while True:
            hint = await self._waiting.get()
            try:
                await self._store(hint)
            except BusError as error:
                HINTS_DROPPED.labels(hint.stream.name).inc()
                log.debug("hint dropped", extra={"subject": hint.subject, "error": str(error)})

    async def _ensure(self, stream: Stream[Any]) -> None:
        """The stream exists, as far as this connection knows."""
        if self._ensured_on != self._line.connections:
            self._ensured.clear()
            self._ensured_on = self._line.connections
        if stream.name not in self._ensured:
            await ensure_stream(self._line, stream)
            self._ensured.add(stream.name)

    def _keep(self, work: Coroutine[Any, Any, None]) -> Subscription:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Subscription(task)

    async def _stop_all(self, within: timedelta) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=within.total_seconds())


def _headers(message_id: str, trace: str) -> dict[str, str]:
    return {MESSAGE_ID: message_id, traceparent.HEADER: trace}
