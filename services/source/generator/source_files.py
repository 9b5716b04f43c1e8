"""The bytes behind a source's artifact, verified and unpacked onto the workbench.

Artifacts of ours are files of our own storage. What others publish as ExternalArtifact is
downloaded from where they serve it, as every consumer does.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from services.source.generator.endings import BuildFailed, SourceFetchFailed
from services.source.generator.sources import Found
from services.source.generator.tree import Tree
from services.source.generator.workbench import TooMuch, Workbench
from services.source.storage import Integrity, Owner, Storage
from shared.archive import ArchiveError, unpack
from shared.artifact import ArtifactFailed, ArtifactMissing, fetch


class SourceFiles:
    def __init__(self, storage: Storage, folder: Path) -> None:
        """`folder` is for what is being downloaded."""
        self._storage = storage
        self._folder = folder

    async def tree(self, source: Found, bench: Workbench) -> Tree:
        ref, artifact = source
        path = await self._stored(source)
        if path is not None:
            return await _unpacked(source, path, bench)
        if artifact.url == self._storage.url(artifact.path):
            raise SourceFetchFailed(f"the file of source '{ref}' is gone; it is about to return")
        with TemporaryDirectory(dir=self._folder) as folder:
            path = Path(folder, "artifact")
            try:
                async with aiohttp.ClientSession() as session:
                    await fetch(session, artifact, path)
            except (ArtifactFailed, ArtifactMissing) as error:
                raise SourceFetchFailed(f"source '{ref}': {error}") from error
            return await _unpacked(source, path, bench)

    async def _stored(self, source: Found) -> Path | None:
        (kind, key), artifact = source
        owner = Owner(kind.lower(), *key)
        path = self._storage.locate(owner, artifact.path)
        if path is None or await self._storage.check(owner, artifact) is not Integrity.GOOD:
            return None
        return path


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
