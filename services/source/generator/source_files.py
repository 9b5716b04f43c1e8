"""The bytes behind sources' artifacts, verified and unpacked onto the workbench.

Artifacts of ours are files of our own storage. What others publish as ExternalArtifact is
downloaded from where they serve it, as every consumer does; that may take its time, and so comes
before a build has its place.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import aiohttp

from services.source.generator.endings import BuildFailed, SourceFetchFailed
from services.source.generator.sources import Found, SourceRef
from services.source.generator.tree import Tree
from services.source.generator.workbench import TooMuch, Workbench
from services.source.storage import Integrity, Owner, Storage
from shared.archive import MIB, ArchiveError, unpack
from shared.artifact import ArtifactFailed, ArtifactMissing, fetch

DOWNLOADING = 8  # generators at a time; a server that hangs holds up these, and no build
MOST_DOWNLOADED = 1024 * MIB  # for one generator

Downloads: TypeAlias = Mapping[SourceRef, Path]


class SourceFiles:
    def __init__(self, storage: Storage, folder: Path) -> None:
        """`folder` is for what is being downloaded."""
        self._storage = storage
        self._folder = folder
        self._slots = asyncio.Semaphore(DOWNLOADING)

    @asynccontextmanager
    async def downloaded(self, sources: Iterable[Found]) -> AsyncIterator[Downloads]:
        """What has no file of ours, for as long as it is needed."""
        strangers = {found.ref: found for found in sources if self._stored(found) is None}
        if not strangers:
            yield {}
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as folder:
            async with self._slots:
                paths = await self._download(strangers.values(), Path(folder))
            yield paths

    async def tree(self, source: Found, downloads: Downloads, bench: Workbench) -> Tree:
        path = downloads.get(source.ref)
        if path is None:
            path = self._stored(source)
            owner = _owner(source)
            if await self._storage.check(owner, source.artifact) is not Integrity.GOOD:
                path = None
        if path is None:
            raise SourceFetchFailed(f"the file of source '{source.ref}' is gone; it will return")
        return await _unpacked(source, path, bench)

    async def _download(self, sources: Iterable[Found], folder: Path) -> dict[SourceRef, Path]:
        paths: dict[SourceRef, Path] = {}
        size = 0
        async with aiohttp.ClientSession() as session:
            for ref, artifact in sources:
                path = folder / str(len(paths))
                try:
                    await fetch(session, artifact, path)
                except (ArtifactFailed, ArtifactMissing) as error:
                    raise SourceFetchFailed(f"source '{ref}': {error}") from error
                paths[ref] = path
                size += path.stat().st_size
                if size > MOST_DOWNLOADED:
                    raise BuildFailed(f"the sources are larger than {size // MIB} MiB together")
        return paths

    def _stored(self, source: Found) -> Path | None:
        path = self._storage.locate(_owner(source), source.artifact.path)
        return path if path is not None and path.is_file() else None


def _owner(source: Found) -> Owner:
    return Owner(source.ref.kind.lower(), *source.ref.key)


async def _unpacked(source: Found, path: Path, bench: Workbench) -> Tree:
    def take_in() -> Tree:
        with path.open("rb") as file:
            return Tree(bench.take_in(unpack(file)))

    try:
        return await asyncio.to_thread(take_in)
    except OSError as error:
        raise SourceFetchFailed(f"source '{source.ref}' cannot be read: {error}") from error
    except ArchiveError as error:
        raise BuildFailed(f"source '{source.ref}' cannot be unpacked: {error}") from error
    except TooMuch as error:
        raise BuildFailed(f"the sources have {error}; leave files out with spec.ignore") from error
