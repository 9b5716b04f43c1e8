"""One owner's folder on the disk; everything here blocks.

Beside each artifact lie two small files of ours: what its digest is, and its path index. They are
conveniences: without them the statuses tell the first, and nobody misses the second. There are no
lock files: a folder has one writer, the only run of its owner, and readers see a file whole or not
at all. What Flux left behind of its own goes with the artifact that it belonged to.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from tempfile import mkstemp
from typing import NamedTuple

import msgspec

from shared.artifact_file import ArtifactFile, path_index
from shared.digests import digest_of

SCAN_LIMIT = 1000
SCAN_TIME = timedelta(seconds=5)
_PARTIAL, _ABOUT, _PATHS = ".partial-", ".about-", ".paths-"


class About(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of an artifact beside its bytes."""

    digest: str
    path_index: str = ""  # the digest of that document


class Retention(NamedTuple):
    ttl: timedelta = timedelta(seconds=60)  # who has just read the status must still find the file
    records: int = 2


DEFAULT_RETENTION = Retention()


@contextmanager
def partial_file(folder: Path, algorithm: str, earlier: Path | None) -> Iterator[ArtifactFile]:
    """Gone at the end, but for what was published."""
    descriptor, name = mkstemp(dir=folder, prefix=_PARTIAL)
    os.close(descriptor)
    partial = Path(name)
    try:
        with ArtifactFile(partial, algorithm, earlier) as file:
            yield file
    finally:
        partial.unlink(missing_ok=True)


def publish(file: ArtifactFile, into: Path) -> About:
    """After a power cut the name shows all of the bytes, or the file that was there before."""
    file.flush()
    os.fsync(file.fileno())
    about = _annotate(file, into)
    os.replace(file.path, into)
    descriptor = os.open(into.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return about


def about(path: Path) -> About | None:
    try:
        return msgspec.json.decode(_beside(path, _ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def stored_index(path: Path) -> bytes | None:
    """The path index as it was written; whoever uses it checks its digest."""
    try:
        return _beside(path, _PATHS).read_bytes()
    except OSError:
        return None


def point(folder: Path, link: str, name: str) -> None:
    path = folder / link
    if path.is_symlink() and os.readlink(path) == name:
        return
    aside = folder / f"{_PARTIAL}{link}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(name)
    aside.replace(path)


def discard(path: Path) -> None:
    """An artifact with all that lies beside it."""
    for each in (path, path.with_name(f"{path.name}.lock"), *_all_beside(path)):
        each.unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    return max(_artifacts(folder), default=(0.0, None))[1]


def collect(folder: Path, kept: str, retention: Retention, now: float) -> list[Path]:
    """Remove what is out of date but `kept`; no more at a time than is done in a moment."""
    deadline = time.monotonic() + SCAN_TIME.total_seconds()
    for path in list(_debris(folder)):
        path.unlink(missing_ok=True)
    oldest_first = sorted(found for found in _artifacts(folder) if found[1].name != kept)
    expired = now - retention.ttl.total_seconds()
    out_of_date = [path for modified, path in oldest_first if modified < expired]
    others = [path for modified, path in oldest_first if modified >= expired]
    out_of_date += others[: max(0, len(others) + bool(kept) - retention.records)]
    removed = []
    for path in out_of_date:
        if time.monotonic() > deadline:
            break
        discard(path)
        removed.append(path)
    return removed


def remove(folder: Path) -> bool:
    """Whether there was anything."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return folder.exists()
    return True


def _annotate(file: ArtifactFile, into: Path) -> About:
    index = path_index(file.paths)
    told = About(digest=file.digest, path_index=digest_of(index) if index else "")
    with contextlib.suppress(OSError):
        for each in _all_beside(into):
            each.unlink(missing_ok=True)
        if index:
            _write_aside(_beside(into, _PATHS), index)
        _write_aside(_beside(into, _ABOUT), msgspec.json.encode(told))
    return told


def _write_aside(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)


def _beside(path: Path, prefix: str) -> Path:
    return path.with_name(f"{prefix}{path.name}")


def _all_beside(path: Path) -> tuple[Path, Path]:
    return _beside(path, _ABOUT), _beside(path, _PATHS)


def _artifacts(folder: Path) -> Iterator[tuple[float, Path]]:
    """When they were written, and where they are."""
    for entry in _entries(folder):
        is_ours = entry.name.startswith(".") or entry.name.endswith(".lock")
        if not is_ours and entry.is_file(follow_symlinks=False):
            yield entry.stat(follow_symlinks=False).st_mtime, folder / entry.name


def _debris(folder: Path) -> Iterator[Path]:
    """A run is alone with its owner's folder, so a partial file is a dead run's.

    Links that lead nowhere are Flux's: it had a latest.tar.gz of Git repositories once.
    """
    for entry in _entries(folder):
        leads_nowhere = entry.is_symlink() and not (folder / entry.name).exists()
        if entry.name.startswith(_PARTIAL) or leads_nowhere:
            yield folder / entry.name
        elif entry.name.startswith((_ABOUT, _PATHS)):
            artifact = entry.name.removeprefix(_ABOUT).removeprefix(_PATHS)
            if not (folder / artifact).exists():
                yield folder / entry.name


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from islice(entries, SCAN_LIMIT)
    except FileNotFoundError:
        return
