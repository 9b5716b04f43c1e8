"""What broke the rendering engine again and again is not given to it any more.

Each kill costs everybody who renders: those beside it are asked again, and a process starts anew.
Two kills set an input aside; so do three ends of this very process while the input was being
rendered, because what takes a pod's memory takes us with it. What is known lies in small files, a
file an input, so that a restart forgets nothing; a disk that fails costs only that.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shared.clock import Now, now
from shared.engine_messages import EngineBroken, EngineLimit

KILLS, DEATHS = 2, 3
AGAIN_AFTER = timedelta(hours=6)  # once: a busy machine may have been at fault
REMEMBERED = 1000  # inputs
_SUFFIX = ".json"

T = TypeVar("T")
log = logging.getLogger(__name__)


class SetAside(EngineLimit):
    """It was not asked."""


class _Record(msgspec.Struct, omit_defaults=True):
    kills: int = 0
    deaths: int = 0
    cause: str = ""
    at: float = 0.0
    asked: bool = False  # and no answer yet

    @property
    def is_grave(self) -> bool:
        return self.kills >= KILLS or self.deaths >= DEATHS

    def pardon(self) -> None:
        """One more chance."""
        self.kills, self.deaths = min(self.kills, KILLS - 1), min(self.deaths, DEATHS - 1)


class Quarantine:
    """Without a folder it forgets with the process."""

    def __init__(self, folder: Path | None = None, now: Now = now) -> None:
        self._folder = folder
        self._now = now
        self._records: dict[str, _Record] = {}
        self._running: dict[str, asyncio.Task[Any]] = {}
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._remember(folder)

    async def guarded(self, name: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """Raises SetAside. The work goes on when nobody waits for it any more: how it ends counts.
        Whoever asks for the same meanwhile waits for the same."""
        key = name.hex()
        task: asyncio.Task[T] | None = self._running.get(key)
        if task is None:
            self._require_harmless(key)
            task = asyncio.create_task(self._observed(key, work))
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def _require_harmless(self, key: str) -> None:
        record = self._records.get(key)
        if record is None or not record.is_grave:
            return
        if self._now().timestamp() - record.at > AGAIN_AFTER.total_seconds():
            record.pardon()
            return
        raise SetAside(
            f"set aside, because {_crime(record)}; a change of the source or of the spec, or a "
            f"reconcile request, tries again"
        )

    async def _observed(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        record = self._records.get(key) or _Record()
        self._write(key, record, asked=True)
        try:
            answer = await work()
        except EngineBroken as broken:
            record.kills += broken.kills
            record.cause = str(broken)
            record.at = self._now().timestamp()
            raise
        else:
            record = _Record()
            return answer
        finally:
            self._write(key, record, asked=False)

    def _ended(self, key: str, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    def _write(self, key: str, record: _Record, *, asked: bool) -> None:
        record.asked = asked
        matters = bool(record.kills or record.deaths)
        self._records.pop(key, None)
        if matters:
            self._records[key] = record
            while len(self._records) > REMEMBERED:
                self._forget(next(iter(self._records)))
        if self._folder is None:
            return
        file = self._folder / f"{key}{_SUFFIX}"
        try:
            if asked or matters:
                file.write_bytes(msgspec.json.encode(record))
            else:
                file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot be remembered", extra={"file": str(file), "error": str(error)})

    def _forget(self, key: str) -> None:
        del self._records[key]
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / f"{key}{_SUFFIX}").unlink(missing_ok=True)

    def _remember(self, folder: Path) -> None:
        """What was being asked when the last process ended may be why it did."""
        for file in sorted(folder.glob(f"*{_SUFFIX}"), key=lambda each: each.stat().st_mtime):
            try:
                record = msgspec.json.decode(file.read_bytes(), type=_Record)
            except msgspec.DecodeError:
                file.unlink(missing_ok=True)  # it was being written
                continue
            if record.asked:
                record.deaths += 1
                record.at = self._now().timestamp()
            self._write(file.name.removesuffix(_SUFFIX), record, asked=False)


def _crime(record: _Record) -> str:
    if record.kills >= KILLS:
        return f"it broke the rendering engine {record.kills} times, last with {record.cause!r}"
    return f"this service ended {record.deaths} times while it was being rendered"
