"""From a layer to an artifact: unpacked, cleared of what rules leave out, packed again; or copied.

A layer is a stranger's archive: it is downloaded into a file that has no name, and unpacked with
the limits of `shared.archive` into another one. Memory holds a file of it at a time.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from weakref import WeakValueDictionary

from services.source.endings import FetchFailed
from services.source.ignore import SOURCE_IGNORE, IgnoreRules
from services.source.oci.address import Repository
from services.source.oci.manifest import Descriptor, Manifest
from services.source.oci.reference import LAYER_FAILED, failed
from services.source.oci.registry import Registry, RegistryError
from services.source.storage import Owner, Storage, StoredFile
from services.source.turns import NoTurn, Turns
from shared.archive import ArchiveError, Entry, Packed, pack, unpack
from shared.artifact_file import growing
from shared.resources.source.oci_repository import LayerSelector
from shared.web.client import Writable

MAX_LAYER = 256 * 1024 * 1024  # what consumers of artifacts download at most
MAX_IGNORE_FILE = 1024 * 1024
IN_MEMORY = 256 * 1024  # most layers are small; a file costs more than they do
DOWNLOADS = 4  # from one registry: a slow one keeps only its own users waiting
EXTRACTIONS = 2


class Layers:
    def __init__(self, registry: Registry, storage: Storage, folder: Path) -> None:
        self._registry = registry
        self._storage = storage
        self._folder = folder
        self._downloads: WeakValueDictionary[str, Turns] = WeakValueDictionary()
        self._extractions = asyncio.Semaphore(EXTRACTIONS)

    async def copy(
        self, repository: Repository, layer: Descriptor, owner: Owner, name: str
    ) -> StoredFile:
        """Byte for byte."""

        async def fill(file: BinaryIO) -> Packed:
            artifact = growing(file)
            await self._download(repository, layer, artifact)
            return Packed(artifact.size, artifact.digest)

        async with self._turn_at(repository) as repository:
            return _stored(owner, name, await self._storage.write(owner, name, fill))

    async def extract(
        self,
        repository: Repository,
        layer: Descriptor,
        owner: Owner,
        name: str,
        spec_ignore: str | None,
    ) -> StoredFile:
        async def fill(file: BinaryIO) -> Packed:
            with _scratch(self._folder) as archive, _scratch(self._folder) as contents:
                await self._download(repository, layer, archive)
                async with self._extractions:
                    return await asyncio.to_thread(_repacked, archive, contents, spec_ignore, file)

        async with self._turn_at(repository) as repository:
            try:
                packed = await self._storage.write(owner, name, fill)
            except ArchiveError as error:
                problem = f"failed to extract layer {layer.digest}: {error}"
                raise FetchFailed(problem, reason=LAYER_FAILED) from error
        return _stored(owner, name, packed)

    @asynccontextmanager
    async def _turn_at(self, repository: Repository) -> AsyncIterator[Repository]:
        """The repository, with what waiting has left of the deadline."""
        host, access = repository.host, repository.access
        turns = self._downloads.setdefault(host, Turns(DOWNLOADS, f"downloads from {host}"))
        async with AsyncExitStack() as stack:
            try:
                turn = await stack.enter_async_context(turns.turn(access.deadline))
            except NoTurn as error:
                raise FetchFailed(f"had to wait: {error}", reason=LAYER_FAILED) from error
            yield repository.seen_as(replace(access, deadline=turn.left))

    async def _download(self, repository: Repository, layer: Descriptor, into: Writable) -> None:
        try:
            await self._registry.download(repository, layer, into, MAX_LAYER)
        except RegistryError as error:
            raise failed(error, "failed to download the layer", LAYER_FAILED) from error


def choose(manifest: Manifest, selector: LayerSelector | None) -> Descriptor:
    """The first layer, of the media type that is wanted if one is. Raises FetchFailed."""
    wanted = selector.media_type if selector else None
    for layer in manifest.layers:
        if wanted in (None, "", layer.media_type):
            return layer
    what = f"no layer of media type {wanted!r}" if wanted else "no layers"
    raise FetchFailed(f"the artifact {manifest.digest} has {what}", reason=LAYER_FAILED)


class _File(NamedTuple):
    """A file of the layer, and where its content is."""

    path: str
    mode: int
    begin: int
    size: int


@contextmanager
def _scratch(folder: Path) -> Iterator[BinaryIO]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder)) as file:
        yield cast("BinaryIO", file)


def _repacked(
    archive: BinaryIO, contents: BinaryIO, spec_ignore: str | None, into: BinaryIO
) -> Packed:
    """From a thread. Raises ArchiveError."""
    archive.seek(0)
    files: dict[str, _File] = {}  # of two with one name, unpacking leaves the second
    source_ignores: dict[str, str] = {}
    for entry in unpack(archive):
        files[entry.path] = _File(entry.path, entry.mode, contents.tell(), len(entry.content))
        contents.write(entry.content)
        folder, _, name = entry.path.rpartition("/")
        if name == SOURCE_IGNORE:
            source_ignores[folder] = _ignore_file(entry)
    rules = IgnoreRules(source_ignores, spec_ignore)
    wanted = [file for file in files.values() if not rules.exclude(file.path)]
    _require_no_file_inside_a_file(files, wanted)
    wanted.sort(key=lambda file: os.fsencode(file.path))
    return pack(_entries(wanted, contents), into)


def _entries(files: Iterable[_File], contents: BinaryIO) -> Iterator[Entry]:
    for file in files:
        contents.seek(file.begin)
        yield Entry(file.path, file.mode, contents.read(file.size))


def _ignore_file(entry: Entry) -> str:
    if len(entry.content) > MAX_IGNORE_FILE:
        raise ArchiveError(f"{entry.path!r} is larger than {MAX_IGNORE_FILE} bytes")
    return entry.content.decode(errors="replace")


def _require_no_file_inside_a_file(files: dict[str, _File], wanted: Iterable[_File]) -> None:
    for file in wanted:
        folder = file.path
        while folder := folder.rpartition("/")[0]:
            if folder in files:
                raise ArchiveError(f"{folder!r} is a file and a directory")


def _stored(owner: Owner, name: str, packed: Packed) -> StoredFile:
    return StoredFile("/".join((*owner, name)), packed.digest, packed.size)
