"""Where the contents of sources lie while artifacts are made of them: in one file without a name.

So memory holds names and numbers only, however large the sources are; what may lie there is
bounded, and all of it is gone when the bench is cleared, or when the process dies.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, Self

from shared.archive import MIB, Entry, Limits

ALL_SOURCES = Limits(total=1024 * MIB, file=100 * MIB, entries=400_000)


class TooMuch(Exception):
    """More than we are willing to hold; says of what."""


class Piece(NamedTuple):
    """One file's content on the bench; equal digests are equal contents."""

    start: int
    size: int
    digest: bytes
    executable: bool


class Workbench:
    """A context manager; to be used from one thread at a time."""

    def __init__(self, folder: Path, limits: Limits = ALL_SOURCES) -> None:
        self._folder = folder
        self._limits = limits
        self._end = 0
        self._count = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, content: bytes, *, executable: bool = False) -> Piece:
        self._count += 1
        if self._count > self._limits.entries:
            raise TooMuch(f"more than {self._limits.entries} files")
        if self._end + len(content) > self._limits.total:
            raise TooMuch(f"more than {self._limits.total // MIB} MiB of files")
        digest = hashlib.sha256(content).digest()
        piece = Piece(self._end, len(content), digest, executable)
        self._file.write(content)
        self._end += len(content)
        return piece

    def take_in(self, entries: Iterable[Entry]) -> dict[str, Piece]:
        """By path; a path that comes twice has its last content, as it would after `tar -x`."""
        return {
            entry.path: self.put(entry.content, executable=bool(entry.mode & 0o111))
            for entry in entries
        }

    def content(self, piece: Piece) -> bytes:
        self._file.flush()
        return os.pread(self._file.fileno(), piece.size, piece.start)
