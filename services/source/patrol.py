"""Looks after the stored artifacts between the runs of their owners.

A run looks at its own artifact, but with an interval of an hour it would do so once an hour. The
patrol asks the file system about each artifact that a status names, every 20 seconds and at the
price of a `stat`, reads again what is due for it, and has the owner of a lost one looked at: so a
file that is gone, cut short or altered is made again within a minute although nobody asked for it.
Folders whose owners are no more (a finalizer removed by hand) go after an hour.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.source import artifact_folder
from services.source.storage import Integrity, Owner, Storage
from shared.clock import Now, now
from shared.cluster.watch_cache import WatchCache
from shared.resources.meta import Artifact, Resource
from shared.resources.source import ArtifactGenerator, ExternalArtifact

EVERY = timedelta(seconds=20)
SWEEP_EVERY = 180  # rounds: once an hour
ORPHANED_AFTER = timedelta(hours=1)
_AT_A_TIME = 50

log = logging.getLogger(__name__)


class Patrol:
    """`kinds` are those whose folders are ours to remove, spelled as folders are."""

    def __init__(
        self,
        storage: Storage,
        caches: Collection[WatchCache[Any]],
        kinds: Collection[str],
        now: Now = now,
    ) -> None:
        self._storage = storage
        self._caches = caches
        self._kinds = kinds
        self._now = now

    async def run(self) -> None:
        """For ever; cancel to stop."""
        rounds = 0
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            rounds += 1
            try:
                await self.look()
                if rounds % SWEEP_EVERY == 1:
                    await self.sweep()
            except Exception:
                # A disk that cannot be read, or a bug: runs look at their own artifacts, too.
                log.exception("the patrol ended in an unexpected error")

    async def look(self) -> None:
        """Once over everything."""
        for some in _portions(list(self._stored())):
            for owner in await asyncio.to_thread(self._damaged, some):
                log.warning("a stored artifact is damaged", extra={"object": owner})
                self._storage.damaged(owner)

    async def sweep(self) -> None:
        if not all(cache.is_synced for cache in self._caches):
            return
        owners = {Owner.of(resource) for resource in self._resources()}
        for folder in await asyncio.to_thread(self._orphans, owners):
            log.info("an artifact without an owner is removed", extra={"folder": str(folder)})
            await asyncio.to_thread(artifact_folder.remove, folder)

    def _stored(self) -> Iterator[tuple[Owner, Artifact]]:
        for resource in self._resources():
            artifact: Artifact | None = resource.status.artifact
            left_alone = resource.is_suspended or resource.metadata.deletion_timestamp
            if artifact is not None and not left_alone and _is_ours(resource):
                yield Owner.of(resource), artifact

    def _resources(self) -> Iterator[Resource[Any, Any]]:
        for cache in self._caches:
            yield from list(cache.values())

    def _damaged(self, stored: Iterable[tuple[Owner, Artifact]]) -> list[Owner]:
        return [
            owner
            for owner, artifact in stored
            if owner.kind in self._kinds
            and self._storage.look(owner, artifact) is not Integrity.GOOD
        ]

    def _orphans(self, owners: Collection[Owner]) -> list[Path]:
        too_new = (self._now() - ORPHANED_AFTER).timestamp()
        found = [
            folder
            for kind in self._kinds
            for folder in self._storage.folder.glob(f"{kind}/*/*")
            if Owner(kind, folder.parent.name, folder.name) not in owners
        ]
        return [folder for folder in found if _modified(folder) < too_new]


def _is_ours(resource: Resource[Any, Any]) -> bool:
    """What others publish as an ExternalArtifact is on their servers."""
    if not isinstance(resource, ExternalArtifact):
        return True
    maker = resource.spec.source_ref
    return maker is not None and maker.kind == ArtifactGenerator.kind


def _modified(folder: Path) -> float:
    """One that is just going is as new as can be."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _portions(
    stored: list[tuple[Owner, Artifact]],
) -> Iterator[list[tuple[Owner, Artifact]]]:
    for start in range(0, len(stored), _AT_A_TIME):
        yield stored[start : start + _AT_A_TIME]
