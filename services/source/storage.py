"""Artifacts on disk: whole or not there, each in its owner's folder, and gone when out of date.

`<kind>/<namespace>/<name>/<file>` below the storage path, as Flux lays it out, is also the path of
the URL. A file appears under its name only after its bytes are on the disk. What `status.artifact`
claims is never trusted: its path must be in the owner's folder, its bytes are hashed again.
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from pathlib import Path
from tempfile import mkstemp
from typing import Any, BinaryIO, NamedTuple, TypeVar

from services.source.endings import StorageFailed
from shared.clock import Now, now, rfc3339
from shared.resources.meta import Artifact, Resource
from shared.settings import Address

T = TypeVar("T")

TTL = timedelta(seconds=60)  # a consumer that has just read the status must still find the file
RECORDS = 2
SCAN_LIMIT = 1000
_TEMPORARY = ".partial-"
_PIECE = 1024 * 1024


class Owner(NamedTuple):
    """Whose artifacts; each part is one folder."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, resource: Resource[Any, Any]) -> "Owner":
        return cls(resource.kind.lower(), *resource.key)


class Integrity(Enum):
    GOOD = "good"
    MISSING = "missing"
    CORRUPT = "corrupt"


class StoredFile(NamedTuple):
    """A file of an owner that was just written."""

    path: str
    digest: str
    size: int


class Storage:
    def __init__(self, folder: Path, advertised: str, now: Now = now) -> None:
        self.folder = folder
        self._advertised = advertised if "://" in advertised else f"http://{advertised}"
        self._now = now

    def artifact(self, stored: StoredFile, revision: str) -> dict[str, Any]:
        """For `status.artifact`."""
        return {
            "digest": stored.digest,
            "path": stored.path,
            "url": self.url(stored.path),
            "revision": revision,
            "lastUpdateTime": rfc3339(self._now()),
            "size": stored.size,
        }

    def url(self, path: str) -> str:
        return f"{self._advertised.rstrip('/')}/{path}"

    def locate(self, owner: Owner, path: str) -> Path | None:
        """Where a path of this owner is; None for a path that is not this owner's."""
        *folders, name = path.split("/")
        if tuple(folders) != owner or name in ("", ".", "..") or "\0" in name:
            return None
        return self.folder.joinpath(*owner, name)

    async def write(self, owner: Owner, name: str, fill: Callable[[BinaryIO], Awaitable[T]]) -> T:
        """`fill` writes to the file; it gets its name after all of it is on the disk."""
        folder = self.folder.joinpath(*owner)
        try:
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = f"failed to create the artifact's directory: {error.strerror}"
            raise StorageFailed(problem, reason="DirectoryCreationFailed") from error
        try:
            with _partial_file(folder) as file:
                result = await fill(file)
                await asyncio.to_thread(_publish, file, folder / name)
        except OSError as error:
            problem = f"failed to store the artifact {name}: {error.strerror}"
            raise StorageFailed(problem, reason="ArchiveOperationFailed") from error
        return result

    async def write_bytes(self, owner: Owner, name: str, content: bytes) -> StoredFile:
        async def fill(file: BinaryIO) -> None:
            await asyncio.to_thread(file.write, content)

        await self.write(owner, name, fill)
        digest = hashlib.sha256(content).hexdigest()
        return StoredFile("/".join((*owner, name)), f"sha256:{digest}", len(content))

    async def write_file(self, owner: Owner, name: str, source: BinaryIO) -> StoredFile:
        """What another file holds, from its beginning."""
        digest = hashlib.sha256()
        source.seek(0)

        async def fill(file: BinaryIO) -> None:
            while piece := await asyncio.to_thread(source.read, _PIECE):
                digest.update(piece)
                await asyncio.to_thread(file.write, piece)

        await self.write(owner, name, fill)
        return StoredFile("/".join((*owner, name)), f"sha256:{digest.hexdigest()}", source.tell())

    async def point(self, owner: Owner, link: str, name: str) -> str:
        """Let a link of a fixed name lead to the latest file; its URL."""
        try:
            await asyncio.to_thread(_point, self.folder.joinpath(*owner), link, name)
        except OSError as error:
            problem = f"failed to update the link {link}: {error.strerror}"
            raise StorageFailed(problem, reason="SymlinkUpdateFailed") from error
        return self.url("/".join((*owner, link)))

    async def check(self, owner: Owner, artifact: Artifact) -> Integrity:
        path = self.locate(owner, artifact.path)
        if path is None:
            return Integrity.MISSING
        return await asyncio.to_thread(_check, path, artifact.digest)

    async def collect(self, owner: Owner, keep: str) -> list[str]:
        """Remove what nobody needs any more but the artifact at `keep`; the names removed."""
        return await asyncio.to_thread(self._collect, owner, keep)

    async def remove(self, owner: Owner) -> bool:
        """Everything of a deleted owner; whether there was anything."""
        folder = self.folder.joinpath(*owner)
        if not folder.exists():
            return False
        try:
            await asyncio.to_thread(shutil.rmtree, folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            problem = f"garbage collection for deleted resource failed: {error.strerror}"
            raise StorageFailed(problem, reason="GarbageCollectionFailed") from error
        return True

    def _collect(self, owner: Owner, keep: str) -> list[str]:
        folder = self.folder.joinpath(*owner)
        # A run is alone with its owner's folder, so a partial file is a dead run's.
        for partial in folder.glob(f"{_TEMPORARY}*"):
            partial.unlink(missing_ok=True)
        oldest_first = sorted(_removable(folder, keep.rpartition("/")[2]))
        expired = (self._now() - TTL).timestamp()
        out_of_date = [path for modified, path in oldest_first if modified < expired]
        others = [path for _, path in oldest_first if path not in out_of_date]
        out_of_date += others[: max(0, len(others) + 1 - RECORDS)]
        for path in out_of_date:
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        return [path.name for path in out_of_date]


def advertised_address(chosen: str, listening: Address) -> str:
    """What the URLs of artifacts start with: as set, or where this process is reached."""
    if chosen:
        return chosen
    host = listening.host or "localhost"
    if host == "0.0.0.0":  # noqa: S104  (compared with, not bound to)
        host = os.environ.get("HOSTNAME", "localhost")
    return f"{host}:{listening.port}"


@contextmanager
def _partial_file(folder: Path) -> Iterator[BinaryIO]:
    descriptor, name = mkstemp(dir=folder, prefix=_TEMPORARY)
    os.close(descriptor)
    partial = Path(name)
    try:
        with partial.open("wb") as file:
            yield file
    finally:
        partial.unlink(missing_ok=True)


def _publish(file: BinaryIO, into: Path) -> None:
    """After a power cut the name shows all of the bytes, or the file that was there before."""
    file.flush()
    os.fsync(file.fileno())
    os.replace(file.name, into)
    descriptor = os.open(into.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(folder: Path, link: str, name: str) -> None:
    path = folder / link
    if path.is_symlink() and os.readlink(path) == name:
        return
    aside = folder / f"{_TEMPORARY}{link}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(name)
    aside.replace(path)


def _check(path: Path, digest: str) -> Integrity:
    algorithm, _, expected = digest.partition(":")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    except (OSError, ValueError):
        return Integrity.MISSING
    if found == expected:
        return Integrity.GOOD
    path.unlink(missing_ok=True)
    return Integrity.CORRUPT


def _removable(folder: Path, kept: str) -> Iterator[tuple[float, Path]]:
    names: Sequence[str] = os.listdir(folder)[:SCAN_LIMIT] if folder.is_dir() else ()
    for name in names:
        path = folder / name
        if name != kept and not name.endswith(".lock") and path.is_file() and not path.is_symlink():
            yield path.stat().st_mtime, path
