"""Keep the artifact of one Bucket: its objects listed, and downloaded when the list is new.

The revision is a digest of keys and ETags, so a bucket in which nothing changed costs its listing
and no more. What was listed is what is packed: an object that changes meanwhile starts it again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, BinaryIO

from services.source.bucket.listing import Index, SourceIgnore, index_of
from services.source.bucket.objects import ObjectChanged, StoreError
from services.source.bucket.packing import pack_objects
from services.source.bucket.stores import OpenStore, Stores
from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    forget,
    has_recovered,
    is_settled,
)
from services.source.endings import FetchFailed, StorageFailed, outdated, stored
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from services.source.storage import Owner, Storage, StoredFile
from services.source.timeouts import timeout_of
from shared.archive import ARTIFACT, ArchiveError, Limits, Packed
from shared.durations import format_duration
from shared.outcomes import Done
from shared.redaction import redact
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source import Bucket
from shared.run import Run
from shared.web.wire import WireError

LATEST = "latest.tar.gz"
OPERATION_FAILED = "BucketOperationFailed"
CONCURRENT = 32  # fetches; each has a few threads and a few MiB
TRIES = 3  # of a bucket that is written to at this moment


class BucketReconciler:
    def __init__(self, storage: Storage, stores: Stores, limits: Limits = ARTIFACT) -> None:
        self._storage = storage
        self._stores = stores
        self._limits = limits
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._ignores: dict[NamespacedName, SourceIgnore] = {}

    async def reconcile(self, bucket: Bucket, run: Run) -> Done:
        deadline = timeout_of(bucket)
        artifact = await current_artifact(self._storage, bucket, run)
        # Idle also while it packs: a fetch has bounds of its own.
        async with run.idle(), self._slots, _within(deadline, bucket):
            return await self._fetch(bucket, artifact, run)

    async def finalize(self, bucket: Bucket, run: Run) -> None:
        self._ignores.pop(bucket.key, None)
        await forget(self._storage, bucket, run)

    async def _fetch(self, bucket: Bucket, artifact: Artifact | None, run: Run) -> Done:
        """A store that refuses what we remembered of the Secrets is asked again with fresh ones."""
        fresh = run.requested or not is_settled(bucket)
        try:
            return await self._fetch_as(bucket, artifact, run, fresh=fresh)
        except FetchFailed as error:
            if fresh or error.reason != AUTHENTICATION_FAILED:
                raise
        return await self._fetch_as(bucket, artifact, run, fresh=True)

    async def _fetch_as(
        self, bucket: Bucket, artifact: Artifact | None, run: Run, *, fresh: bool
    ) -> Done:
        with _store_errors():
            async with self._stores.opened(bucket, fresh=fresh) as store:
                for _ in range(TRIES - 1):
                    try:
                        return await self._make(bucket, store, artifact, run)
                    except ObjectChanged:
                        continue
                return await self._make(bucket, store, artifact, run)

    async def _make(
        self, bucket: Bucket, store: OpenStore, artifact: Artifact | None, run: Run
    ) -> Done:
        index = await self._list(bucket, store)
        if artifact and artifact.revision == index.revision:
            return await self._unchanged(bucket, artifact, run)
        await _announce(index.revision, run, artifact_exists=artifact is not None)
        file = await self._pack(bucket, store, index)
        return await self._stored(bucket, file, index, run)

    async def _list(self, bucket: Bucket, store: OpenStore) -> Index:
        spec = bucket.spec
        known = self._ignores.pop(bucket.key, None)
        index = await store.wire.call(
            index_of, store.objects, spec.prefix or "", spec.ignore, known, self._limits
        )
        self._ignores[bucket.key] = index.ignore
        return index

    async def _pack(self, bucket: Bucket, store: OpenStore, index: Index) -> StoredFile:
        owner, name = Owner.of(bucket), _file_name(index.revision)

        async def fill(file: BinaryIO) -> Packed:
            return await pack_objects(store.wire, store.objects, index.objects, file, self._limits)

        try:
            size, digest = await self._storage.write(owner, name, fill)
        except ArchiveError as error:
            problem = f"failed to pack bucket '{bucket.spec.bucket_name}': {error}"
            raise StorageFailed(problem, reason="ArchiveOperationFailed") from error
        return StoredFile("/".join((*owner, name)), digest, size)

    async def _unchanged(self, bucket: Bucket, artifact: Artifact, run: Run) -> Done:
        status = as_status(artifact)
        if has_recovered(bucket):
            run.event("info", "Succeeded", _message(artifact.revision), event_metadata(status))
        return await self._done(bucket, status)

    async def _stored(self, bucket: Bucket, file: StoredFile, index: Index, run: Run) -> Done:
        artifact = self._storage.artifact(file, index.revision)
        name = bucket.spec.bucket_name
        news = f"stored artifact with {len(index.objects)} fetched files from '{name}' bucket"
        run.event("info", "NewArtifact", news, event_metadata(artifact))
        return await self._done(bucket, artifact)

    async def _done(self, bucket: Bucket, artifact: dict[str, Any]) -> Done:
        message = _message(artifact["revision"])
        name = _file_name(artifact["revision"])
        link = await self._storage.point(Owner.of(bucket), LATEST, name)
        return Done(
            message=message,
            status={"artifact": artifact, "url": link, "observedIgnore": bucket.spec.ignore},
            conditions=stored("Succeeded", message),
        )


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        reason = AUTHENTICATION_FAILED if error.refuses_us else OPERATION_FAILED
        raise FetchFailed(redact(str(error)), reason=reason) from error
    except WireError as error:
        raise FetchFailed(str(error), reason=OPERATION_FAILED) from error


async def _announce(revision: str, run: Run, *, artifact_exists: bool) -> None:
    news = f"new upstream revision '{revision}'"
    await run.progress(
        f"building artifact: {news}" if artifact_exists else "building artifact",
        conditions=outdated("NewRevision", news, artifact_exists=artifact_exists),
    )


def _message(revision: str) -> str:
    return f"stored artifact: revision '{revision}'"


def _file_name(revision: str) -> str:
    return f"{revision.partition(':')[2]}.tar.gz"


@asynccontextmanager
async def _within(deadline: timedelta, bucket: Bucket) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            yield
    except TimeoutError as error:
        problem = (
            f"bucket '{bucket.spec.bucket_name}': not fetched within "
            f"{format_duration(deadline)} (spec.timeout)"
        )
        raise FetchFailed(problem, reason=OPERATION_FAILED) from error
