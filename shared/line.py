"""NATS's only door: one connection after the other, for as long as the line is open.

A connection is never repaired: when it ends, whatever waits on it ends with a BusError at once, and
the next one starts clean, with the credentials file read again. There is no limit of attempts.
Opening the line never fails and never waits: NATS may come later, or never.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import nats.errors
from nats.aio.client import Callback, Client
from nats.aio.msg import Msg

from shared.metrics import NATS_CONNECTED

log = logging.getLogger(__name__)

ANSWER_WITHIN = timedelta(seconds=5)
CLOSE_WITHIN = timedelta(seconds=2)
RECONNECT_AFTER = timedelta(milliseconds=250)
# A server that takes bytes and answers nothing is given up after three of these.
PING_EVERY = 10  # seconds


# What the library reports of a connection that is about to end.
_ENDINGS = (OSError, nats.errors.UnexpectedEOF, nats.errors.StaleConnectionError)


class BusError(Exception):
    """NATS did not do what was asked; nothing here is fatal to a caller."""


class BusUnavailable(BusError):
    """No connection, or no answer in time: the same request may succeed later."""


class NobodyListens(BusError):
    """The server knows no stream or consumer behind this subject (any more)."""


class Silence(BusError):
    """Nothing came in, although something was due."""


class Credentials(msgspec.Struct, frozen=True):
    user: str
    password: str


@dataclass(frozen=True)
class Frame:
    """One message as it came off the line."""

    subject: str
    reply: str
    body: bytes
    headers: Mapping[str, str]


class Inbox:
    """Where one subscriber's messages arrive."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()

    async def next(self, within: timedelta) -> Frame:
        """Raises Silence when nothing comes in time, BusUnavailable when the connection ends."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                frame = await self._frames.get()
        except TimeoutError:
            raise Silence(f"nothing heard for {within.total_seconds():g} s") from None
        if frame is None:
            raise BusUnavailable("the connection to NATS ended")
        return frame

    async def receive(self, message: Msg) -> None:
        self._frames.put_nowait(_frame(message))

    def end(self) -> None:
        self._frames.put_nowait(None)


class _Connection:
    """From connected to lost."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.inboxes: set[Inbox] = set()
        self.deadlines: set[asyncio.Timeout] = set()

    def end(self) -> None:
        for inbox in self.inboxes:
            inbox.end()
        now = asyncio.get_running_loop().time()
        for deadline in self.deadlines:
            deadline.reschedule(now)


class Line:
    """A service's line to NATS."""

    def __init__(self, url: str, credentials: Path | None, service: str) -> None:
        self.service = service
        self.connections = (
            0  # how many there have been: what was true on one may not be on the next
        )
        self._url = url
        self._credentials = credentials
        self._connection: _Connection | None = None
        self._up = asyncio.Event()
        self._complained = False
        self._closing = False
        self._connecting: asyncio.Task[None]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, credentials: Path | None, service: str
    ) -> AsyncIterator["Line"]:
        """`credentials` is a file {"user", "password"}; without a url nothing ever connects."""
        line = cls(url, credentials, service)
        async with asyncio.TaskGroup() as tasks:
            line._connecting = tasks.create_task(line._stay_connected(), name="nats connection")
            try:
                yield line
            finally:
                await line.close()

    async def close(self) -> None:
        """For good."""
        self._closing = True
        self._connecting.cancel()
        await asyncio.wait([self._connecting])

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connected(self) -> None:
        await self._up.wait()

    async def request(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Frame:
        connection = self._current()
        seconds, cancellations = ANSWER_WITHIN.total_seconds(), _cancellations()
        try:
            async with asyncio.timeout(seconds) as deadline:
                with _listed(connection.deadlines, deadline):
                    answer = await connection.client.request(
                        subject, body, timeout=2 * seconds, headers=dict(headers or {})
                    )
        except nats.errors.NoRespondersError as error:
            raise NobodyListens(f"{subject}: nobody listens") from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable(f"{subject}: no answer: {_reason(error)}") from error
        if _cancellations() > cancellations:
            # The library waits by Python 3.11's `wait_for`, which prefers an answer that has come
            # to a cancellation that has come, too: whoever cancelled would wait for ever.
            raise asyncio.CancelledError
        return _frame(answer)

    async def send(self, subject: str, body: bytes, reply: str = "") -> None:
        """Without an answer: what is sent while the connection breaks is lost."""
        try:
            await self._current().client.publish(subject, body, reply=reply)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"{subject}: not sent: {_reason(error)}") from error

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[Inbox]:
        connection = self._current()
        inbox = Inbox(connection.client.new_inbox())
        try:
            subscription = await connection.client.subscribe(inbox.subject, cb=inbox.receive)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"not subscribed: {_reason(error)}") from error
        with _listed(connection.inboxes, inbox):
            try:
                yield inbox
            finally:
                if not connection.client.is_closed:
                    await subscription.unsubscribe()

    def _current(self) -> _Connection:
        if self._connection is None:
            raise BusUnavailable("not connected to NATS")
        return self._connection

    async def _stay_connected(self) -> None:
        if not self._url:
            return
        while True:
            try:
                await self._one_connection()
            except Exception:
                # A bug, ours or the library's, must not end a service that works without NATS.
                log.exception("a connection to NATS ended in an unexpected error")
            await asyncio.sleep(RECONNECT_AFTER.total_seconds())

    async def _one_connection(self) -> None:
        try:
            who = self._read_credentials()
        except (OSError, ValueError) as error:
            self._complain(error)
            return
        client, lost = Client(), asyncio.Event()

        async def closed() -> None:
            lost.set()

        try:
            await self._connect(client, who, closed)
            self._begin(client)
            await lost.wait()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            self._complain(error)
        finally:
            self._end()
            await _close(client)

    async def _connect(self, client: Client, who: Credentials | None, closed: Callback) -> None:
        await client.connect(
            servers=self._url.split(","),
            name=f"penstock-{self.service}",
            user=who.user if who else None,
            password=who.password if who else None,
            inbox_prefix=f"_INBOX_{who.user if who else self.service}",
            error_cb=self._on_error,
            closed_cb=closed,
            # One quick round over the servers; pauses and new rounds are `_stay_connected`'s.
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=PING_EVERY,
            flush_timeout=ANSWER_WITHIN.total_seconds(),
        )

    def _read_credentials(self) -> Credentials | None:
        if self._credentials is None:
            return None
        try:
            return msgspec.json.decode(self._credentials.read_bytes(), type=Credentials)
        except msgspec.DecodeError as error:
            # The decoder's message names fields, never values.
            raise ValueError(
                f'{self._credentials}: expected {{"user", "password"}}: {error}'
            ) from error

    def _begin(self, client: Client) -> None:
        self._connection = _Connection(client)
        self.connections += 1
        self._complained = False
        self._up.set()
        NATS_CONNECTED.set(1)
        log.info("connected to NATS", extra={"connection": self.connections})

    def _end(self) -> None:
        self._up.clear()
        NATS_CONNECTED.set(0)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end()
            if not self._closing:
                log.warning("the connection to NATS ended; going on without")

    async def _on_error(self, error: Exception) -> None:
        if self._connection is None:
            self._complain(error)
        elif not isinstance(error, _ENDINGS):
            # A refused subject, a slow consumer: the connection lives on.
            log.warning("NATS reports a problem", extra={"error": str(error)})

    def _complain(self, error: Exception) -> None:
        """Once per outage."""
        if not self._complained:
            self._complained = True
            log.warning("NATS does not answer; going on without", extra={"error": _reason(error)})


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN.total_seconds()):
            await client.close()
    except (nats.errors.Error, OSError, TimeoutError, AssertionError):
        # The assertion is the library's, for a client that never got as far as a socket.
        log.debug("the connection to NATS did not close cleanly")


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


Member = TypeVar("Member")


@contextmanager
def _listed(members: set[Member], member: Member) -> Iterator[None]:
    members.add(member)
    try:
        yield
    finally:
        members.discard(member)


def _frame(message: Msg) -> Frame:
    return Frame(message.subject, message.reply, message.data, message.headers or {})


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
