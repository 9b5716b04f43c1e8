"""Artifacts as files in our storage; one whose contents have not changed is not packed again."""

import asyncio
from typing import BinaryIO, NamedTuple

from services.source.generator.assembly import Assembly, Listing
from services.source.generator.endings import BuildFailed
from services.source.generator.external_artifacts import storage_owner
from services.source.generator.outputs import Output
from services.source.storage import Integrity, Storage, StoredFile
from shared.archive import ArchiveError, Packed, pack
from shared.resources.meta import Artifact, NamespacedName

REMEMBERED = 10_000


class Built(NamedTuple):
    """One output, put together and not yet packed."""

    output: Output
    assembly: Assembly
    listing: Listing

    @property
    def file_name(self) -> str:
        return f"{self.listing.checksum}.tar.gz"


class _Known(NamedTuple):
    fingerprint: bytes
    file: StoredFile


class BuiltFiles:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[NamespacedName, _Known] = {}

    def is_known(self, built: Built, namespace: str) -> bool:
        """It holds what it held when it was packed last."""
        known = self._known.get(NamespacedName(namespace, built.output.name))
        return known is not None and known.fingerprint == built.listing.fingerprint

    async def store(self, built: Built, namespace: str) -> StoredFile:
        key = NamespacedName(namespace, built.output.name)
        if self.is_known(built, namespace):
            file = self._known[key].file
            if await self.is_whole(key, file):
                return file
        file = await self._pack(built, key)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = _Known(built.listing.fingerprint, file)
        return file

    async def is_whole(self, key: NamespacedName, file: StoredFile | Artifact) -> bool:
        """Also one that was lost and could be had back from the object store."""
        claimed = Artifact(
            digest=file.digest, path=file.path, url="", revision="", last_update_time=""
        )
        owner = storage_owner(key)
        if await self._storage.check(owner, claimed) is Integrity.GOOD:
            return True
        return await self._storage.restore(owner, claimed)

    async def _pack(self, built: Built, key: NamespacedName) -> StoredFile:
        owner = storage_owner(key)

        async def fill(file: BinaryIO) -> Packed:
            return await asyncio.to_thread(pack, built.assembly.entries(), file)

        try:
            packed = await self._storage.write(owner, built.file_name, fill)
        except ArchiveError as error:
            where = f"{built.output.name}: {built.output.place}"
            raise BuildFailed(f"{where}: cannot be packed: {error}") from error
        return StoredFile("/".join((*owner, built.file_name)), packed.digest, packed.size)
