"""A queue on disk that survives kill -9: segments of JSON lines, appended and fsynced.

Oldest first. A segment is deleted once all of it was taken; a crash before that gives its entries
again, so takers must recognise repetitions. Over its bound, the spool lets its oldest segment go
and says how many entries that were. A line torn by a crash is passed over. Calls wait for the disk,
so they belong into threads; a folder belongs to one spool.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

LIMIT_BYTES = 64 * 2**20
SEGMENT_BYTES = 2**18


class Entry(msgspec.Struct, frozen=True):
    """One message that waits for NATS."""

    subject: str
    body: msgspec.Raw
    id: str
    trace: str


@dataclass
class _Segment:
    path: Path
    size: int = 0
    entries: int = 0
    sealed: bool = False  # taken from, or left by another process: nothing is appended any more


class Spool:
    def __init__(
        self, folder: Path, *, limit_bytes: int = LIMIT_BYTES, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._segment_limit = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._next_number = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Find what an earlier process left."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(self._folder.glob("*.jsonl")):
            content = path.read_bytes()
            self._segments.append(_Segment(path, len(content), content.count(b"\n"), sealed=True))
            self._next_number = int(path.stem) + 1

    def __len__(self) -> int:
        return sum(segment.entries for segment in self._segments)

    def append(self, entries: Sequence[Entry]) -> int:
        """On the disk when this returns; the number of older entries that had to go for it."""
        content = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        with self._lock:
            self._write(content, len(entries))
            return self._make_room()

    def oldest(self) -> list[Entry] | None:
        """What the oldest segment holds, as far as it can be read; None when there is none."""
        with self._lock:
            if not self._segments:
                return None
            segment = self._segments[0]
            segment.sealed = True
        try:
            *lines, _torn = segment.path.read_bytes().split(b"\n")
        except OSError as error:
            log.warning("events cannot be read back", extra={"error": str(error)})
            return []
        return [entry for entry in map(_entry, lines) if entry is not None]

    def drop_oldest(self) -> int:
        """Done with the segment that `oldest` gave; how many entries it held."""
        with self._lock:
            return self._drop()

    def _drop(self) -> int:
        segment = self._segments.popleft()
        segment.path.unlink(missing_ok=True)
        return segment.entries

    def _write(self, content: bytes, entries: int) -> None:
        segment = self._open_segment()
        with segment.path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        segment.size += len(content)
        segment.entries += entries

    def _open_segment(self) -> _Segment:
        if self._segments:
            newest = self._segments[-1]
            if not newest.sealed and newest.size < self._segment_limit:
                return newest
        segment = _Segment(self._folder / f"{self._next_number:012d}.jsonl")
        self._next_number += 1
        segment.path.touch(mode=0o600)
        self._sync_folder()
        self._segments.append(segment)
        return segment

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _make_room(self) -> int:
        dropped = 0
        while len(self._segments) > 1 and sum(s.size for s in self._segments) > self._limit:
            dropped += self._drop()
        return dropped


def _entry(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError:
        return None
