"""Which files are known to hold what they should, so that an idle service need not read them again.

A file is hashed when this process meets it for the first time, whenever its inode, size or times
are no longer those that were hashed (nothing writes to a file without moving its ctime), and once
in ten minutes in any case: a disk that forgets does not say so. The times are spread, so that a
restart does not make all files due together for ever.
"""

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from shared.digests import InvalidDigest, algorithm_of, file_digest

AGAIN_WITHIN = timedelta(minutes=10)


class Integrity(Enum):
    GOOD = "good"
    MISSING = "missing"
    CORRUPT = "corrupt"


class _Identity(NamedTuple):
    inode: int
    size: int
    modified: int
    changed: int


class _Known(NamedTuple):
    identity: _Identity
    digest: str
    due: datetime


class VerifiedFiles:
    """Any thread may ask; asking reads the file if it has to."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._known: dict[Path, _Known] = {}

    def look(self, path: Path, digest: str) -> Integrity:
        try:
            with path.open("rb") as file:
                return self.look_at(file, path, digest)
        except OSError:
            self.forget(path)
            return Integrity.MISSING

    def look_at(self, file: BinaryIO, path: Path, digest: str) -> Integrity:
        """The same for a file that is open already. May leave it at its end; raises OSError."""
        known = self._known.get(path)
        identity = _identity(file)
        if known and known[:2] == (identity, digest) and self._now() < known.due:
            return Integrity.GOOD
        try:
            found = file_digest(file, algorithm_of(digest))
        except InvalidDigest:
            return Integrity.MISSING
        if found != digest:
            self.forget(path)
            return Integrity.CORRUPT
        self._remember(path, identity, digest)
        return Integrity.GOOD

    def written(self, file: BinaryIO, path: Path, digest: str) -> None:
        """It was hashed while it was written."""
        self._remember(path, _identity(file), digest)

    def forget(self, path: Path) -> None:
        self._known.pop(path, None)

    def _remember(self, path: Path, identity: _Identity, digest: str) -> None:
        wait = AGAIN_WITHIN * random.uniform(0.5, 1)  # noqa: S311  (spreads load, guards nothing)
        self._known[path] = _Known(identity, digest, self._now() + wait)


def _identity(file: BinaryIO) -> _Identity:
    found = os.fstat(file.fileno())
    return _Identity(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
