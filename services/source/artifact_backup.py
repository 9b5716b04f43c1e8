"""The way back from the object store: for a replica with an empty disk, or with a damaged file.

It is asked before upstream is, and what it gives is held against the digest that the status names;
so the same bytes are served again, also when upstream is away or has moved on.
"""

import asyncio
from datetime import timedelta

import msgspec

from services.source.storage import NoBackup
from shared.artifact_file import ArtifactFile
from shared.digests import digest_of
from shared.line import BusError
from shared.object_store import ObjectStore
from shared.resources.meta import Artifact

CONNECT_WITHIN = timedelta(seconds=5)
RESTORE_WITHIN = timedelta(minutes=2)
MAX_BLOB = 256 * 1024 * 1024
MAX_INDEX = 32 * 1024 * 1024
INDEX = "path-index"  # in a blob's description: the digest of its path index


class _PathIndex(msgspec.Struct, frozen=True):
    paths: dict[str, str]


class ArtifactBackup:
    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._patient = True

    async def copy(self, artifact: Artifact, into: ArtifactFile) -> None:
        await self._connected()
        try:
            async with asyncio.timeout(RESTORE_WITHIN.total_seconds()):
                await self._copy(artifact, into)
        except (BusError, TimeoutError) as error:
            raise NoBackup(str(error) or "NATS took too long") from error

    async def _connected(self) -> None:
        """At a start NATS may be a moment behind; later, what is not there is not waited for."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN.total_seconds()):
                if self._patient or self._store.is_connected:
                    return await self._store.connected()
        except TimeoutError:
            pass
        finally:
            self._patient = False
        raise NoBackup("not connected to NATS")

    async def _copy(self, artifact: Artifact, into: ArtifactFile) -> None:
        blob = await self._store.find(artifact.digest)
        if blob is None or blob.size > MAX_BLOB:
            raise NoBackup(f"{artifact.digest} is not in the object store")
        async for piece in self._store.read(blob):
            await asyncio.to_thread(into.write, piece)
        for path, digest in (await self._index(blob.metadata.get(INDEX, ""))).items():
            into.note(path, digest)

    async def _index(self, digest: str) -> dict[str, str]:
        """A path index that is lost or broken is done without."""
        blob = await self._store.find(digest) if digest else None
        if blob is None or blob.size > MAX_INDEX:
            return {}
        content = b"".join([piece async for piece in self._store.read(blob)])
        if digest_of(content) != digest:
            return {}
        return msgspec.json.decode(content, type=_PathIndex).paths
