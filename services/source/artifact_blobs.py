"""Copies of the current artifacts in JetStream's object store, by digest, with their path indexes.

What should be there is read from the statuses each time anew: so nothing has to be remembered while
NATS is away, a copy that went missing comes back, and one that no status names goes. It goes after
a grace time only: a status may be about to name it again, and a consumer may be reading it. Nobody
waits for any of this; artifact_backup.py is the way back.
"""

import asyncio
import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Set
from datetime import timedelta
from typing import Any, BinaryIO

from services.source import artifact_folder
from services.source.artifact_backup import INDEX, ArtifactBackup
from services.source.storage import Integrity, Owner, Storage
from shared.bus import Bus
from shared.cluster.watch_cache import WatchCache
from shared.digests import digest_of
from shared.line import BusError
from shared.object_store import MAXIMUM_EXCEEDED, PIECE, ObjectStore
from shared.resources.meta import Artifact, Resource
from shared.streams import Refused
from shared.subjects import ARTIFACT_BLOBS, MIB

Source = Resource[Any, Any]
log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=5)  # although nobody said that anything changed
SOON = timedelta(seconds=15)  # after a failure
SETTLE = timedelta(seconds=1)  # changes come together
GRACE = timedelta(minutes=10)


class _Unwanted:
    """Since when things are not wanted any more."""

    def __init__(self) -> None:
        self._since: dict[str, timedelta] = {}

    def longer_than(self, grace: timedelta, unwanted: Set[str]) -> list[str]:
        """Those that are so for the whole of this time."""
        now = _monotonic()
        self._since = {each: self._since.get(each, now) for each in unwanted}
        return [each for each, since in self._since.items() if now - since >= grace]


class ArtifactBlobs:
    def __init__(
        self,
        store: ObjectStore,
        storage: Storage,
        caches: Collection[WatchCache[Any]],
        max_bytes: int,
        grace: timedelta = GRACE,
    ) -> None:
        self._store = store
        self._storage = storage
        self._caches = caches
        self._max_bytes = max_bytes
        self._changed = asyncio.Event()
        self._indexes: dict[str, str] = {}  # of artifacts that are there
        self.grace = grace
        self._names, self._loose = _Unwanted(), _Unwanted()
        self._refused: dict[str, timedelta] = {}  # when there was no room for them
        self._complaint = ""
        self._looked: timedelta | None = None  # when uploads that broke off were looked for

    async def run(self) -> None:
        """For ever; cancel to stop."""
        if not self._max_bytes:
            return
        for cache in self._caches:
            cache.on_change(self._notice)
            await cache.synced()
        while True:
            await self._store.connected()
            self._changed.clear()
            try:
                done = await self.bring_up_to_date()
            except Exception:
                # A bug, or a disk that cannot be read: the service works without copies.
                log.exception("copying artifacts to NATS ended in an unexpected error")
                done = False
            await self._pause(AGAIN if done else SOON)

    async def bring_up_to_date(self) -> bool:
        """Add what is named and not there, remove what is there and was not named for long."""
        try:
            await self._store.ensure(self._max_bytes)
            there = await self._store.names()
            await self._learn(there)
            await self._remove(there)
            await self._add(there)
            await self._remove_loose()
        except BusError as error:
            self._complain(str(error))
            return False
        self._complaint = "" if not self._refused else self._complaint
        return True

    def _notice(self, before: Source | None, after: Source | None) -> None:
        if _digest(before) != _digest(after):
            self._changed.set()

    async def _learn(self, there: Set[str]) -> None:
        """Which path indexes the artifacts refer to that are there."""
        self._indexes = {name: index for name, index in self._indexes.items() if name in there}
        for digest in self._named().keys() & there - self._indexes.keys():
            blob = await self._store.find(digest)
            self._indexes[digest] = blob.metadata.get(INDEX, "") if blob else ""

    async def _remove(self, there: Set[str]) -> None:
        for name in self._names.longer_than(self.grace, there - self._wanted()):
            if name not in self._wanted():  # by now
                await self._store.remove(name)

    async def _remove_loose(self) -> None:
        """What uploads left behind that broke off. To find it costs a question per blob."""
        if self._looked is not None and _monotonic() - self._looked < self.grace:
            return
        self._looked = _monotonic()
        for nuid in self._loose.longer_than(self.grace, await self._store.loose()):
            await self._store.drop(nuid)

    def _wanted(self) -> set[str]:
        named = self._named()
        return named.keys() | {self._indexes.get(digest, "") for digest in named}

    def _named(self) -> dict[str, tuple[Owner, Artifact]]:
        found: dict[str, tuple[Owner, Artifact]] = {}
        for cache in self._caches:
            for resource in cache.values():
                artifact: Artifact | None = resource.status.artifact
                if artifact is not None:
                    found[artifact.digest] = (Owner.of(resource), artifact)
        return found

    async def _add(self, there: Set[str]) -> None:
        named = self._named()
        self._refused = {each: when for each, when in self._refused.items() if each in named}
        for digest, (owner, artifact) in named.items():
            if digest in there or self._was_refused(digest):
                continue
            try:
                await self._upload(owner, artifact)
            except Refused as error:
                if error.code != MAXIMUM_EXCEEDED:
                    raise
                self._refused[digest] = _monotonic()
                self._complain("the object store is full: raise ARTIFACT_STORE_MEBIBYTES")

    def _was_refused(self, digest: str) -> bool:
        return digest in self._refused and _monotonic() - self._refused[digest] < AGAIN

    async def _upload(self, owner: Owner, artifact: Artifact) -> None:
        """One that is damaged, or not ours, is passed over: the next round sees it again."""
        path = self._storage.locate(owner, artifact.path)
        if path is None:
            return
        if await asyncio.to_thread(self._storage.look, owner, artifact) is not Integrity.GOOD:
            return
        index = self._storage.path_index(artifact)
        content = await asyncio.to_thread(artifact_folder.stored_index, path) if index else None
        if content is None or digest_of(content) != index:
            content, index = None, ""
        if content is not None:
            await self._store.put(index, _pieces(io.BytesIO(content)), {})
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            await self._store.put(artifact.digest, _pieces(file), {INDEX: index})
            self._indexes[artifact.digest] = index
            self._refused.pop(artifact.digest, None)

    async def _pause(self, at_most: timedelta) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):
                await self._changed.wait()
        await asyncio.sleep(SETTLE.total_seconds())

    def _complain(self, said: str) -> None:
        """Once, until it works again."""
        if said != self._complaint:
            self._complaint = said
            log.warning("artifacts are not copied to NATS", extra={"error": said})


def _digest(source: Source | None) -> str:
    artifact: Artifact | None = source.status.artifact if source else None
    return artifact.digest if artifact else ""


def copies_of(
    storage: Storage, caches: Collection[WatchCache[Any]], bus: Bus, mebibytes: int
) -> ArtifactBlobs:
    """From now on the storage takes back what it has lost. Without a size nothing is copied."""
    store = bus.objects(ARTIFACT_BLOBS)
    storage.backup = ArtifactBackup(store) if mebibytes else None
    return ArtifactBlobs(store, storage, caches, mebibytes * MIB)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """Read from a file in this thread: it was hashed a moment ago, so it is in memory."""
    while piece := file.read(PIECE):
        yield piece


def _monotonic() -> timedelta:
    return timedelta(seconds=asyncio.get_running_loop().time())
