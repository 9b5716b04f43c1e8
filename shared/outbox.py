"""Events on their way to NATS: none is lost while NATS is away, and they arrive in order.

`put` never blocks. While NATS takes what comes, messages only pass through memory. As soon as it
does not, everything goes to the disk first (see `shared.spool`) and from there to NATS when it is
back, under the ids it had from the start, so that the stream recognises what it has already. Memory
and disk are bounded; what falls over the edge is counted and logged.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from shared import traceparent
from shared.bus import Bus, TooLarge
from shared.line import BusError
from shared.messages import Body
from shared.metrics import OUTBOX_DROPPED, OUTBOX_WAITING
from shared.spool import Entry, Spool
from shared.subjects import Stream

log = logging.getLogger(__name__)

MEMORY_LIMIT = 2000  # messages
SAVE_EVERY = timedelta(milliseconds=250)  # while NATS is away: what a kill -9 may cost
PAUSE = timedelta(seconds=1)  # when NATS is there and does not take it


class Outbox:
    def __init__(self, bus: Bus, stream: Stream[Any], spool: Spool) -> None:
        self._bus = bus
        self._stream = stream
        self._spool = spool
        self._memory: deque[Entry] = deque()
        self._under_way = 0  # taken from memory, not yet taken by NATS or the disk
        self._more = asyncio.Event()
        self._complained = False

    @classmethod
    @asynccontextmanager
    async def open(cls, bus: Bus, stream: Stream[Any], folder: Path) -> AsyncIterator["Outbox"]:
        """`folder` belongs to this outbox alone."""
        spool = Spool(folder)
        outbox = cls(bus, stream, spool)
        await asyncio.to_thread(spool.open)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(outbox._send_for_ever(), name="outbox")
            try:
                yield outbox
            finally:
                sending.cancel()
                await asyncio.wait([sending])
                await outbox._save()

    def put(self, subject: str, body: Body, *, message_id: str) -> None:
        if len(self._memory) >= MEMORY_LIMIT:
            self._memory.popleft()
            _count_dropped(1, "memory is full")
        raw = msgspec.Raw(msgspec.json.encode(body))
        self._memory.append(Entry(subject, raw, message_id, traceparent.current()))
        self._more.set()

    def __len__(self) -> int:
        return self._under_way + len(self._memory) + len(self._spool)

    async def _send_for_ever(self) -> None:
        while True:
            try:
                await self._send_all()
            except BusError as error:
                await self._hold(error)
            OUTBOX_WAITING.set(len(self))
            if not self:
                self._complained = False
                self._more.clear()
                await self._more.wait()

    async def _send_all(self) -> None:
        """What is on the disk is older than what is in memory, and stays so."""
        while (entries := await asyncio.to_thread(self._spool.oldest)) is not None:
            for entry in entries:
                await self._send(entry)
            await asyncio.to_thread(self._spool.drop_oldest)
            await self._save()
        while self._memory:
            entry = self._memory.popleft()
            self._under_way = 1
            try:
                await self._send(entry)
            except BaseException:
                self._memory.appendleft(entry)
                raise
            finally:
                self._under_way = 0

    async def _send(self, entry: Entry) -> None:
        body = bytes(entry.body)
        try:
            await self._bus.store(
                self._stream, entry.subject, body, message_id=entry.id, trace=entry.trace
            )
        except TooLarge as error:
            _count_dropped(1, str(error))

    async def _hold(self, error: BusError) -> None:
        """Bring what comes to safety until NATS is back."""
        if not self._complained:
            self._complained = True
            log.warning("NATS does not take events: they are kept", extra={"error": str(error)})
        await self._save()
        if self._bus.is_connected:
            await asyncio.sleep(PAUSE.total_seconds())
        while not self._bus.is_connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY.total_seconds()):
                    await self._bus.connected()
            await self._save()

    async def _save(self) -> None:
        """From memory to the disk; what the disk does not take stays in memory."""
        if not self._memory:
            return
        entries = list(self._memory)
        self._memory.clear()
        self._under_way = len(entries)
        try:
            dropped = await asyncio.to_thread(self._spool.append, entries)
        except OSError as error:
            self._memory.extendleft(reversed(entries))
            log.warning("events cannot be written to the disk", extra={"error": str(error)})
            return
        finally:
            self._under_way = 0
        if dropped:
            _count_dropped(dropped, "the disk's share is full")
        OUTBOX_WAITING.set(len(self))


def _count_dropped(number: int, why: str) -> None:
    OUTBOX_DROPPED.inc(number)
    log.error("events are lost", extra={"count": number, "error": why})
