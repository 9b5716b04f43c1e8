"""Artifacts on disk: whole or not there, each in its owner's folder, and gone when out of date.

`<kind>/<namespace>/<name>/<file>` below the storage path, as Flux lays it out, is also the path of
the URL. A file appears under its name only after its bytes are on the disk. What `status.artifact`
claims is never trusted: its path must be in the owner's folder, its bytes are hashed (verified.py
says when again). A file that is lost is taken from the `backup`, if there is one.
"""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

from services.source import artifact_folder
from services.source.artifact_folder import DEFAULT_RETENTION, About, Retention
from services.source.endings import DiskFailed
from services.source.verified import Integrity, VerifiedFiles
from shared.artifact_file import ArtifactFile
from shared.clock import Now, now, rfc3339
from shared.digests import InvalidDigest, algorithm_of, hasher
from shared.resources.meta import Artifact, Resource
from shared.settings import Address, SettingError, Settings

T = TypeVar("T")
Fill = Callable[[ArtifactFile], Awaitable[T]]
COPIED_AT_ONCE = 1024 * 1024

__all__ = ["Integrity", "Owner", "Storage", "StoredFile", "storage_of"]


class Owner(NamedTuple):
    """Whose artifacts; each part is one folder."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, resource: Resource[Any, Any]) -> "Owner":
        return cls(resource.kind.lower(), *resource.key)


class StoredFile(NamedTuple):
    """A file of an owner that was just written."""

    path: str
    digest: str
    size: int


class NoBackup(Exception):
    """It does not have this artifact, or not now."""


class Backup(Protocol):
    async def copy(self, artifact: Artifact, into: ArtifactFile) -> None:
        """Its bytes, and its path index; raises NoBackup."""


class Storage:
    def __init__(
        self,
        folder: Path,
        advertised: str,
        now: Now = now,
        *,
        retention: Retention = DEFAULT_RETENTION,
        algorithm: str = "sha256",
    ) -> None:
        self.folder = folder
        self.backup: Backup | None = None
        self.damaged: Callable[[Owner], None] = _nobody_cares  # has it looked at again
        self.advertise(advertised)
        self._now = now
        self._retention = retention
        self._algorithm = algorithm
        self._verified = VerifiedFiles(now)
        self._about: dict[Path, About] = {}  # of each file that a status named, or we wrote

    def advertise(self, address: str) -> None:
        """What URLs begin with: `host:port`, or more than that."""
        self._advertised = address if "://" in address else f"http://{address}"

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
        if tuple(folders) != owner or name.startswith(".") or not name or "\0" in name:
            return None
        return self.folder.joinpath(*owner, name)

    async def write(self, owner: Owner, name: str, fill: Fill[T]) -> T:
        """`fill` writes to the file; it gets its name after all of it is on the disk."""
        return await self._write(owner, name, fill, self._algorithm)

    async def write_bytes(self, owner: Owner, name: str, content: bytes) -> StoredFile:
        async def fill(file: ArtifactFile) -> StoredFile:
            await asyncio.to_thread(file.write, content)
            return StoredFile("/".join((*owner, name)), file.digest, file.size)

        return await self.write(owner, name, fill)

    async def write_file(self, owner: Owner, name: str, source: BinaryIO) -> StoredFile:
        """What another file holds, from its beginning."""

        async def fill(file: ArtifactFile) -> StoredFile:
            source.seek(0)
            await asyncio.to_thread(shutil.copyfileobj, source, file, COPIED_AT_ONCE)
            return StoredFile("/".join((*owner, name)), file.digest, file.size)

        return await self.write(owner, name, fill)

    async def point(self, owner: Owner, link: str, name: str) -> str:
        """Let a link of a fixed name lead to the latest file; its URL."""
        with _told("update the link", link, "SymlinkUpdateFailed"):
            folder = self.folder.joinpath(*owner)
            await asyncio.to_thread(artifact_folder.point, folder, link, name)
        return self.url("/".join((*owner, link)))

    async def check(self, owner: Owner, artifact: Artifact) -> Integrity:
        """A corrupt file is gone afterwards."""
        path = self.locate(owner, artifact.path)
        if path is None:
            return Integrity.MISSING
        return await asyncio.to_thread(self._check, path, artifact.digest)

    async def restore(self, owner: Owner, artifact: Artifact) -> bool:
        """The very file that the status names, without asking upstream; whether that worked."""
        path, backup = self.locate(owner, artifact.path), self.backup
        if path is None or backup is None:
            return False

        async def fill(file: ArtifactFile) -> None:
            await backup.copy(artifact, file)
            if file.digest != artifact.digest:
                raise NoBackup("what came back has another digest")

        try:
            await self._write(owner, path.name, fill, algorithm_of(artifact.digest))
        except (NoBackup, InvalidDigest):
            return False
        return True

    async def collect(self, owner: Owner, keep: str) -> list[str]:
        """Remove what nobody needs any more but the artifact at `keep`; the names removed."""
        folder, kept = self.folder.joinpath(*owner), keep.rpartition("/")[2]
        now = self._now().timestamp()
        with _told("collect garbage", "", "GarbageCollectionFailed"):
            removed = await asyncio.to_thread(
                artifact_folder.collect, folder, kept, self._retention, now
            )
        for path in removed:
            self._forget(path)
        return [path.name for path in removed]

    async def remove(self, owner: Owner) -> bool:
        """Everything of a deleted owner; whether there was anything."""
        folder = self.folder.joinpath(*owner)
        for path in [path for path in self._about if path.parent == folder]:
            self._forget(path)
        with _told("collect garbage", "for deleted resource", "GarbageCollectionFailed"):
            return await asyncio.to_thread(artifact_folder.remove, folder)

    def look(self, owner: Owner, artifact: Artifact) -> Integrity:
        """As `check`, and leaves the file alone. Blocks, and may have to read all of it."""
        path = self.locate(owner, artifact.path)
        if path is None:
            return Integrity.MISSING
        # What was written since the status was read is right, too.
        known = self._about.get(path)
        return self._verified.look(path, known.digest if known else artifact.digest)

    def look_at(self, file: BinaryIO, path: Path, about: About) -> Integrity:
        """The same for a file that is open already."""
        try:
            return self._verified.look_at(file, path, about.digest)
        except OSError:
            return Integrity.CORRUPT

    def about(self, path: Path) -> About | None:
        """What is known of a file, from a status or from its making."""
        return self._about.get(path) or artifact_folder.about(path)

    def path_index(self, artifact: Artifact) -> str:
        """The digest of its path index; empty for an artifact without paths."""
        about = self.about(self.folder / artifact.path)
        return about.path_index if about and about.digest == artifact.digest else ""

    async def _write(self, owner: Owner, name: str, fill: Fill[T], algorithm: str) -> T:
        folder = self.folder.joinpath(*owner)
        with _told("create the artifact's directory", "", "DirectoryCreationFailed"):
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        with _told("store the artifact", name, "ArchiveOperationFailed"):
            earlier = await asyncio.to_thread(self._earlier, folder)
            with artifact_folder.partial_file(folder, algorithm, earlier) as file:
                result = await fill(file)
                await asyncio.to_thread(self._publish, file, folder / name)
        return result

    def _earlier(self, folder: Path) -> Path | None:
        """The last artifact, to copy from: only one that we know to be whole."""
        path = artifact_folder.newest(folder)
        about = self._about.get(path) if path else None
        if path is None or about is None:
            return None
        return path if self._verified.look(path, about.digest) is Integrity.GOOD else None

    def _publish(self, file: ArtifactFile, path: Path) -> None:
        self._about[path] = artifact_folder.publish(file, path)
        self._verified.written(file, path, file.digest)

    def _check(self, path: Path, digest: str) -> Integrity:
        integrity = self._verified.look(path, digest)
        if integrity is Integrity.CORRUPT:
            artifact_folder.discard(path)
        if integrity is not Integrity.GOOD:
            self._forget(path)
        elif (known := self.about(path)) is None or known.digest != digest:
            self._about[path] = About(digest=digest)
        else:
            self._about[path] = known
        return integrity

    def _forget(self, path: Path) -> None:
        self._about.pop(path, None)
        self._verified.forget(path)


def advertised_address(chosen: str, listening: Address) -> str:
    """What the URLs of artifacts start with: as set, or where this process is reached."""
    if chosen:
        return chosen
    host = listening.host or "localhost"
    if host == "0.0.0.0":  # noqa: S104  (compared with, not bound to)
        host = os.environ.get("HOSTNAME", "localhost")
    return f"{host}:{listening.port}"


def storage_of(settings: Settings) -> Storage:
    """Raises SettingError."""
    try:
        hasher(settings.artifact_digest_algo)
    except InvalidDigest as error:
        raise SettingError(f"ARTIFACT_DIGEST_ALGO: {error}") from error
    return Storage(
        settings.storage_path,
        advertised_address(settings.storage_adv_addr, settings.storage_address),
        retention=Retention(settings.artifact_retention_ttl, settings.artifact_retention_records),
        algorithm=settings.artifact_digest_algo,
    )


def _nobody_cares(owner: Owner) -> None:
    """Until somebody does."""


@contextmanager
def _told(doing: str, what: str, reason: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"failed to {doing} {what}".rstrip()
        raise DiskFailed(f"{problem}: {error.strerror}", reason=reason) from error
