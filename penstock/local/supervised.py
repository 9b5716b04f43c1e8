"""One child process, kept alive: started, probed, restarted with growing delays, ended for good.

Each child leads a process group, which goes with it, and the kernel kills it when our thread dies:
nothing that is started here outlives us, however we end.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

log = logging.getLogger(__name__)

Probe: TypeAlias = Callable[[], Awaitable[bool]]

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
SETTLED_SECONDS = 10.0  # a life this long clears the record of earlier failures
PROBE_SECONDS = 0.05
UNPROBED_SECONDS = 0.25
HOPELESS_FAILURES = 4  # in a row, before it was ready once
LOG_LIMIT_BYTES = 50 * 1024 * 1024


class State(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"


class NotReady(Exception):
    """A process did not come up; the message ends with the last lines of its log."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run. `environment` is complete: nothing is inherited.

    It is ready when the probe says so; without one, when it has not ended at once.
    """

    name: str
    command: Sequence[str | Path]
    folder: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Probe | None = None
    grace: timedelta = timedelta(seconds=10)


class Supervised:
    """A program's present life and how it went before; see `Supervisor.start`."""

    def __init__(self, program: Program, changed: Callable[[], None]) -> None:
        self.program = program
        self.state = State.STARTING
        self.pid: int | None = None
        self.restarts = 0
        self._failures = 0
        self._report = changed
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        return self.program.name

    async def run(self) -> None:
        """Keeps the program alive until cancelled."""
        try:
            while True:
                await self._live()
                self._become(State.BACKOFF)
                await asyncio.sleep(min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY))
                self._failures += 1
                self.restarts += 1
        finally:
            self._become(State.STOPPED)

    async def ready(self, within: timedelta) -> None:
        """Raises NotReady when it is not up in time, or keeps failing."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                while self.state is not State.RUNNING:
                    self._raise_if_hopeless()
                    await self._changed.wait()
        except TimeoutError:
            raise self._not_ready(f"not ready after {within.total_seconds():g} s") from None

    async def kill(self) -> None:
        """As `kill -9`; returns when it is gone, and before it is back.

        It is no failure of the program: neither is it back later for it, nor given up.
        """
        self._failures = 0
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        while pid is not None and self.pid == pid:
            await self._changed.wait()

    async def _live(self) -> None:
        self._become(State.STARTING)
        began = asyncio.get_running_loop().time()
        process = await self._spawn()
        if process is None:
            return
        self.pid = process.pid
        try:
            await self._until_ready(process)
            code = await process.wait()
            log.warning("%s ended with code %s", self.name, code)
        finally:
            await _end(process, self.program.grace)
            self.pid = None
            self._tell()
        if asyncio.get_running_loop().time() - began > SETTLED_SECONDS:
            self._failures = 0

    async def _spawn(self) -> asyncio.subprocess.Process | None:
        program = self.program
        _rotate(program.log)
        with program.log.open("ab") as output:
            try:
                return await asyncio.create_subprocess_exec(
                    _setpriv(),
                    "--pdeathsig=KILL",
                    *program.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=program.folder,
                    env=dict(program.environment),
                    process_group=0,
                )
            except OSError as error:
                output.write(f"cannot start {program.command[0]}: {error}\n".encode())
                return None

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        began = asyncio.get_running_loop().time()
        while process.returncode is None:
            await asyncio.sleep(PROBE_SECONDS)
            lived = asyncio.get_running_loop().time() - began
            probe = self.program.ready
            if await probe() if probe else lived > UNPROBED_SECONDS:
                self._become(State.RUNNING)
                return

    def _become(self, state: State) -> None:
        if state is State.RUNNING:
            log.info("%s is ready as process %s", self.name, self.pid)
        self.state = state
        self._tell()

    def _tell(self) -> None:
        self._report()
        self._changed.set()
        self._changed = asyncio.Event()

    def _raise_if_hopeless(self) -> None:
        if self.state is State.STOPPED:
            raise self._not_ready("was stopped")
        if self._failures >= HOPELESS_FAILURES:
            raise self._not_ready("keeps ending")

    def _not_ready(self, what: str) -> NotReady:
        lines = "\n".join(_last_lines(self.program.log))
        return NotReady(f"{self.name} {what}; the end of {self.program.log}:\n{lines}")


def _setpriv() -> str:
    program = shutil.which("setpriv")
    if program is None:
        raise NotReady("the program setpriv is missing; install util-linux")
    return program


async def _end(process: asyncio.subprocess.Process, grace: timedelta) -> None:
    """Asks it to stop, insists after `grace`, and leaves nobody of its group behind."""
    try:
        if process.returncode is None:
            # Not process.terminate(): it may reap what has ended by itself before the loop does.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            async with asyncio.timeout(grace.total_seconds()):
                await process.wait()
    except TimeoutError:
        log.warning("process %s did not stop when asked and was killed", process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _rotate(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".old.log"))


def _last_lines(path: Path, count: int = 15) -> list[str]:
    try:
        text = path.read_bytes()[-20_000:].decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]
