"""One process of the rendering engine: lines to it, lines from it, a deadline for each call.

The process runs a stranger's input and is never trusted: a call that does not end in time, or a
line that does not end, and it is killed. All calls that ran on it are lost then; `Lost.guilty`
says whether it is known that this very call broke it.
"""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from shared.engine_messages import EngineError, EngineLimit, EngineRefused, EngineUnavailable

LINE_LIMIT = 64 << 20  # both ways; the engine keeps the same limit
_BY_SIGNAL = (-signal.SIGKILL, -signal.SIGTERM)  # ours or another's: not what ran there
_OWN_WORDS = (b"engine: ", b"fatal error: ")  # of the program, and of its runtime


class Lost(Exception):
    """The process ended before it had answered."""

    def __init__(self, message: str, *, guilty: bool) -> None:
        super().__init__(message)
        self.guilty = guilty


class _Refusal(msgspec.Struct):
    kind: str
    message: str


class _Answer(msgspec.Struct):
    id: int
    ok: msgspec.Raw = msgspec.Raw()
    error: _Refusal | None = None


_KINDS: dict[str, type[EngineError]] = {
    "refused": EngineRefused,
    "limit": EngineLimit,
    "internal": EngineUnavailable,
}
_answers = msgspec.json.Decoder(_Answer)


@dataclass(eq=False)
class _Call:
    answer: asyncio.Future[msgspec.Raw]
    timer: asyncio.TimerHandle

    def fail(self, error: Exception) -> None:
        self.timer.cancel()
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever asked may be gone


@dataclass(eq=False)
class Worker:
    """Enter through `running`."""

    deadline: timedelta
    _process: Process
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _calls: dict[int, _Call] = field(default_factory=dict)
    _last: int = 0
    _condemned: bool = False
    _last_words: str = ""

    @property
    def load(self) -> int:
        return len(self._calls)

    def send(self, operation: str, body: bytes) -> asyncio.Future[msgspec.Raw]:
        """`body` is the request's JSON object. The future fails with Lost or an EngineError; the
        call's deadline stands whether or not anybody still waits."""
        if self.ended.is_set():
            raise Lost("the engine has ended", guilty=False)
        loop = asyncio.get_running_loop()
        self._last += 1
        number = self._last
        timer = loop.call_later(self.deadline.total_seconds(), self._expire, number)
        call = _Call(loop.create_future(), timer)
        self._calls[number] = call
        assert self._process.stdin is not None  # noqa: S101  (we asked for a pipe)
        with suppress(ConnectionError):  # its end is noticed where its answers are read
            self._process.stdin.write(_line(number, operation, body))
        return call.answer

    def kill(self) -> None:
        self._condemned = True
        _kill(self._process)

    async def run(self) -> None:
        """Until the process ends, by itself or killed; then every call that is open is lost."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            await self._read_answers()
            _kill(self._process)
        returned = await self._process.wait()
        self.ended.set()
        guilty = len(self._calls) == 1 and returned not in _BY_SIGNAL
        for call in self._calls.values():
            call.fail(Lost(self._epitaph(returned), guilty=guilty))
        self._calls.clear()

    async def _read_answers(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  (we asked for a pipe)
        try:
            while line := await self._process.stdout.readline():
                self._take(line)
        except (ValueError, msgspec.DecodeError):
            self._last_words = "its answer was no line of JSON, or too long"

    def _take(self, line: bytes) -> None:
        answer = _answers.decode(line)
        call = self._calls.pop(answer.id, None)
        if call is None:
            return
        if answer.error is not None:
            call.fail(_KINDS[answer.error.kind](answer.error.message))
            return
        call.timer.cancel()
        call.answer.set_result(answer.ok)

    async def _listen(self) -> None:
        """Why it ends, in its own words; the rest is warnings and stack traces."""
        assert self._process.stderr is not None  # noqa: S101  (we asked for a pipe)
        try:
            while line := await self._process.stderr.readline():
                if not self._last_words and line.startswith(_OWN_WORDS):
                    self._last_words = line.decode(errors="replace").strip()
        except ValueError:
            _kill(self._process)

    def _expire(self, number: int) -> None:
        """The longest call is guilty; those that expire with it may have waited for it."""
        call = self._calls.pop(number)
        seconds = self.deadline.total_seconds()
        message = f"not done after {seconds:g} s, which is the limit"
        call.fail(Lost(message, guilty=not self._condemned))
        self.kill()

    def _epitaph(self, returned: int) -> str:
        words = self._last_words.removeprefix("engine: ")
        return words or f"the engine ended with {returned}"


def _line(number: int, operation: str, body: bytes) -> bytes:
    head = b'{"id":%d,"op":"%s"' % (number, operation.encode())
    return head + (b"," if len(body) > len(b"{}") else b"") + body[1:] + b"\n"


@asynccontextmanager
async def running(
    tasks: asyncio.TaskGroup, command: Sequence[str], deadline: timedelta
) -> AsyncIterator[Worker]:
    """A process in a group of its own, without our environment; it ends with the context."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=LINE_LIMIT,
        env={},
        cwd="/",
        start_new_session=True,
    )
    worker = Worker(deadline, process)
    try:
        tasks.create_task(worker.run())
        yield worker
    finally:
        worker.kill()
        await process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
