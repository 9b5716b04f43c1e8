"""Hints of new artifacts: they make a lost or slow watch cost nothing, and are believed in nothing.

The watch on the source is usually as fast. When it is behind a moment after a hint, the source is
read once from the API server; what a message says about an artifact is never used.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from shared.cluster.client import Cluster
from shared.cluster.errors import ApiError
from shared.cluster.watch_cache import WatchCache
from shared.consuming import Received
from shared.messages import ArtifactReady
from shared.resources.meta import NamespacedName, UndecodableError
from shared.resources.registry import kind_of

PATIENCE = 0.25
WAITING = 1000


class ArtifactHints:
    def __init__(self, cluster: Cluster, caches: Mapping[str, WatchCache[Any]]) -> None:
        self._cluster = cluster
        self._caches = caches
        self._behind: asyncio.Queue[tuple[str, NamespacedName]] = asyncio.Queue(WAITING)

    def heard(self, hint: Received[ArtifactReady]) -> None:
        kind, namespace, name = hint.names
        loop = asyncio.get_running_loop()
        loop.call_later(PATIENCE, self._check, kind, NamespacedName(namespace, name), hint.body)

    async def run(self) -> None:
        while True:
            kind, key = await self._behind.get()
            await self._catch_up(kind, key)

    def _check(self, kind: str, key: NamespacedName, said: ArtifactReady) -> None:
        cache = self._caches.get(kind)
        source = cache.get(key) if cache else None
        if source is None or self._behind.full():
            return
        artifact = source.status.artifact
        if artifact is None or artifact.digest != said.digest:
            self._behind.put_nowait((kind, key))

    async def _catch_up(self, kind: str, key: NamespacedName) -> None:
        model = kind_of(kind)
        try:
            source = await self._cluster.get(model, key) if model else None
        except (ApiError, UndecodableError):
            return  # the watch will tell
        if source is not None:
            self._caches[kind].observe(source)
