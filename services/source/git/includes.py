"""`spec.include`: other GitRepositories' artifacts of the namespace, copied into this one's.

What is copied is the stored artifact, verified again, never its repository. Whoever includes an
object is looked at as soon as the object has another artifact; a circle of includes would then go
on for ever, so it is refused.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

from services.source.endings import IncludeStalled, IncludeWaiting, StorageFailed
from services.source.storage import Integrity, Owner, Storage
from shared.archive import ARTIFACT, ArchiveError, Entry, unpack
from shared.cluster.watch_cache import WatchCache
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source import GitRepository
from shared.resources.source.git_repository import GitInclude


class Include(NamedTuple):
    """One entry of the list, and the artifact that it means now."""

    spec: GitInclude
    owner: Owner
    artifact: Artifact

    @property
    def content(self) -> tuple[str, str]:
        return self.artifact.revision, self.artifact.digest


@dataclass(frozen=True)
class IncludedFile:
    """A file of another artifact, on disk until it is packed."""

    path: str
    mode: int
    blob: str
    size: int
    offset: int
    spool: BinaryIO

    def read(self) -> bytes:
        self.spool.seek(self.offset)
        return self.spool.read(self.size)


class GitIncludes:
    def __init__(self, repositories: WatchCache[GitRepository], storage: Storage) -> None:
        self._repositories = repositories
        self._storage = storage

    def of(self, repository: GitRepository) -> tuple[Include, ...]:
        """Raises IncludeWaiting for what is not there yet."""
        self._refuse_circle(repository)
        return tuple(self._found(repository, spec) for spec in repository.spec.include)

    @contextmanager
    def spooled(self) -> Iterator[BinaryIO]:
        """Where included files wait: an artifact may be larger than we want to hold in memory."""
        with TemporaryFile(prefix="penstock-include-") as spool:
            yield spool

    async def files(
        self, includes: Sequence[Include], object_format: str, spool: BinaryIO
    ) -> list[IncludedFile]:
        """Under the paths that they have in the including artifact; raises StorageFailed."""
        files: dict[str, IncludedFile] = {}
        for include in includes:
            path = self._storage.locate(include.owner, include.artifact.path)
            integrity = await self._storage.check(include.owner, include.artifact)
            if path is None or integrity is not Integrity.GOOD:
                raise _no_artifact(include.spec)
            try:
                added = await asyncio.to_thread(_unpacked, include, path, object_format, spool)
            except (ArchiveError, OSError) as error:
                raise _not_copied(include.spec, str(error)) from error
            files |= {file.path: file for file in added}
        return list(files.values())

    def _found(self, repository: GitRepository, spec: GitInclude) -> Include:
        key = NamespacedName(repository.metadata.namespace, spec.repository.name)
        included = self._repositories.get(key)
        if included is None:
            raise IncludeWaiting(f"GitRepository {key}, which is to be included, is not found")
        if included.status.artifact is None:
            raise _no_artifact(spec)
        return Include(spec, Owner.of(included), included.status.artifact)

    def _refuse_circle(self, repository: GitRepository) -> None:
        ways = [[repository]]
        seen: set[NamespacedName] = set()
        while ways:
            way = ways.pop()
            for key in included_by(way[-1]):
                if key == repository.key:
                    named = " -> ".join(each.metadata.name for each in (*way, repository))
                    raise IncludeStalled(
                        f"spec.include: {named} includes itself; take one of these includes out"
                    )
                further = self._repositories.get(key)
                if further is not None and key not in seen:
                    seen.add(key)
                    ways.append([*way, further])


def included_by(repository: GitRepository) -> list[NamespacedName]:
    namespace = repository.metadata.namespace
    return [NamespacedName(namespace, each.repository.name) for each in repository.spec.include]


def includers_of(
    repositories: WatchCache[GitRepository],
) -> Callable[[GitRepository | None, GitRepository | None], Iterable[NamespacedName]]:
    """Whom a change concerns: who includes the object, when it comes or has another artifact."""

    def affected(
        before: GitRepository | None, after: GitRepository | None
    ) -> Iterable[NamespacedName]:
        changed = after or before
        other_circles = before and after and before.spec.include != after.spec.include
        if changed is None or (not other_circles and _content_of(before) == _content_of(after)):
            return []
        includers = [
            each
            for each in repositories.values()
            if each.spec.include and each.metadata.namespace == changed.metadata.namespace
        ]
        # A circle may be open now, of any length, so all of them look again.
        return [each.key for each in includers if other_circles or changed.key in included_by(each)]

    return affected


def _content_of(repository: GitRepository | None) -> tuple[str, str] | None:
    """None for what is not there; what has no artifact yet is there."""
    artifact = repository.status.artifact if repository else None
    if artifact is None:
        return ("", "") if repository else None
    return artifact.revision, artifact.digest


def _unpacked(
    include: Include, packed: Path, object_format: str, spool: BinaryIO
) -> list[IncludedFile]:
    source = _clean(include.spec, "fromPath", include.spec.from_path or "")
    target = _clean(include.spec, "toPath", include.spec.to_path or include.spec.repository.name)
    files = []
    with packed.open("rb") as file:
        for entry in unpack(file, ARTIFACT):
            below = _below(entry.path, source)
            if below is not None:
                path = "/".join(part for part in (target, below) if part)
                files.append(_spooled(entry._replace(path=path), object_format, spool))
    if source and not files:
        raise _not_copied(include.spec, f"there is nothing at fromPath {source!r}")
    return files


def _spooled(entry: Entry, object_format: str, spool: BinaryIO) -> IncludedFile:
    offset = spool.seek(0, os.SEEK_END)
    if offset + len(entry.content) > ARTIFACT.total:
        raise ArchiveError(f"what is included is larger than {ARTIFACT.total} bytes")
    spool.write(entry.content)
    size = len(entry.content)
    blob = hashlib.new(object_format, f"blob {size}\0".encode(), usedforsecurity=False)
    blob.update(entry.content)
    return IncludedFile(entry.path, entry.mode, blob.hexdigest(), size, offset, spool)


def _below(path: str, folder: str) -> str | None:
    """The path from the folder on; empty for a file that is itself what was asked for."""
    if not folder:
        return path
    if path == folder:
        return ""
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else None


def _clean(spec: GitInclude, field: str, path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise StorageFailed(
            f"spec.include of {spec.repository.name}: {field} {path!r} leads out of the artifact",
            reason="IllegalPath",
        )
    return "/".join(parts)


def _no_artifact(spec: GitInclude) -> IncludeWaiting:
    problem = f"GitRepository {spec.repository.name}, which is to be included, has no artifact"
    return IncludeWaiting(problem, reason="NoArtifact")


def _not_copied(spec: GitInclude, problem: str) -> StorageFailed:
    said = f"failed to copy the artifact of GitRepository {spec.repository.name}: {problem}"
    return StorageFailed(said, reason="CopyFailure")
