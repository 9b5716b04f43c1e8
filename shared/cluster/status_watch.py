"""One watch per kind for everybody who waits for objects of it; it lingers when they have left.

Objects are reduced to their status as they arrive; the object itself is kept only while its state
can still change without an event.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec
import orjson

from shared.clock import Now
from shared.cluster.client import Cluster
from shared.cluster.kstatus import ObjectStatus, status_of
from shared.cluster.objects import Gvk, Manifest
from shared.cluster.watch_cache import Selection, WatchCache
from shared.resources.meta import NamespacedName

LINGER = 300.0


class Seen(NamedTuple):
    key: NamespacedName
    version: int
    status: ObjectStatus
    manifest: Manifest | None  # None: its state is final until the next event


class Place(NamedTuple):
    """What one watch covers, as whom, and how the state of an object is read there.

    `whole`: objects are kept even when their state is final.
    """

    cluster: Cluster
    gvk: Gvk
    selection: Selection
    read: Callable[[Manifest, datetime], ObjectStatus] = status_of
    whole: bool = False


@dataclass(eq=False)
class Watched:
    cache: WatchCache[Seen]
    task: asyncio.Task[None]
    listeners: dict[NamespacedName, list[asyncio.Event]] = field(default_factory=dict)
    closing: asyncio.TimerHandle | None = None


class StatusWatches:
    def __init__(self, now: Now, linger: float = LINGER) -> None:
        self._now = now
        self._linger = linger
        self._watched: dict[Place, Watched] = {}
        self._tasks: asyncio.TaskGroup

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StatusWatches"]:
        async with asyncio.TaskGroup() as self._tasks:
            try:
                yield self
            finally:
                for place in list(self._watched):
                    self._close(place)

    @asynccontextmanager
    async def following(
        self, place: Place, keys: Sequence[NamespacedName], changed: asyncio.Event
    ) -> AsyncIterator[WatchCache[Seen]]:
        """The statuses of a place; `changed` is set with every difference of these objects."""
        watched = self._watched.get(place) or await self._open(place)
        for key in keys:
            watched.listeners.setdefault(key, []).append(changed)
        if watched.closing is not None:
            watched.closing.cancel()
            watched.closing = None
        try:
            yield watched.cache
        finally:
            for key in keys:
                watched.listeners[key].remove(changed)
                if not watched.listeners[key]:
                    del watched.listeners[key]
            if not watched.listeners:
                loop = asyncio.get_running_loop()
                watched.closing = loop.call_later(self._linger, self._close, place)

    async def _open(self, place: Place) -> Watched:
        kind = await place.cluster.resource_of(place.gvk)
        if place in self._watched:  # opened by another while we asked
            return self._watched[place]
        cache = WatchCache(
            place.cluster,
            kind.collection(place.selection.namespace),
            lambda raw: self._seen(raw, place),
            lambda seen: (seen.key, str(seen.version)),
            selection=place.selection,
        )
        watched = Watched(cache, self._tasks.create_task(_run(cache, place)))

        def changed(before: Seen | None, after: Seen | None) -> None:
            seen = after or before
            for listener in watched.listeners.get(seen.key, ()) if seen else ():
                listener.set()

        cache.on_change(changed)
        self._watched[place] = watched
        return watched

    def _close(self, place: Place) -> None:
        watched = self._watched.pop(place, None)
        if watched is not None:
            if watched.closing is not None:
                watched.closing.cancel()
            watched.task.cancel()

    def _seen(self, raw: msgspec.Raw, place: Place) -> Seen:
        # Items of a list come without apiVersion and kind.
        manifest = orjson.loads(memoryview(raw))
        manifest |= {"apiVersion": place.gvk.api_version, "kind": place.gvk.kind}
        metadata, status = manifest["metadata"], place.read(manifest, self._now())
        return Seen(
            NamespacedName(metadata.get("namespace", ""), metadata["name"]),
            int(metadata["resourceVersion"]),
            status,
            manifest if place.whole or status.state not in ("Current", "Failed") else None,
        )


async def _run(cache: WatchCache[Seen], place: Place) -> None:
    async with cache.running():
        await asyncio.Event().wait()
