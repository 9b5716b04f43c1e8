"""Drift arrives as an event: one metadata-only watch per kind of what we own, for all owners.

A kind is watched from its first apply on (and from the start, for kinds of known inventories); the
watch tells `AppliedIndex`, and that calls back with what really is drift. Correcting it costs one
apply. Two parties that keep correcting each other are slowed down: after `BURST` corrections of
one object there is one per `PAUSE`; what stays wrong is put right by the next run in any case.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

from shared.cluster.applied import AppliedIndex, Drift, OnDrift
from shared.cluster.client import Cluster
from shared.cluster.discovery import ResourceType
from shared.cluster.errors import ApiError
from shared.cluster.inventory import ObjectId
from shared.cluster.live import Live, Reader
from shared.cluster.objects import Gvk
from shared.cluster.watch_cache import Selection, WatchCache
from shared.resources.meta import NamespacedName, UndecodableError

log = logging.getLogger(__name__)

BURST = 60
PAUSE = 60.0
PATIENCES_KEPT = 1000
# A kind that we may not list must not hold up applies: without its watch we only know less.
FIRST_LIST_PATIENCE = 5.0


class DriftWatch:
    def __init__(self, cluster: Cluster, reader: Reader, on_drift: OnDrift) -> None:
        self.index = AppliedIndex(self._drifted)
        self._cluster = cluster
        self._reader = reader
        self._on_drift = on_drift
        self._caches: dict[tuple[str, str], WatchCache[Live]] = {}
        self._cluster_scoped: set[tuple[str, str]] = set()
        self._unlisted: set[tuple[str, str]] = set()
        self._patience: dict[ObjectId, Patience] = {}
        self._watchers: asyncio.TaskGroup

    @asynccontextmanager
    async def running(self) -> AsyncIterator["DriftWatch"]:
        async with asyncio.TaskGroup() as self._watchers:
            tasks: list[asyncio.Task[None]] = []
            self._tasks = tasks
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    _tasks: list[asyncio.Task[None]]

    def key_of(self, id_: ObjectId) -> ObjectId:
        """The id as the cluster has it: manifests may name a namespace for what has none."""
        scoped = (id_.group, id_.kind) not in self._cluster_scoped
        return id_ if scoped else id_._replace(namespace="")

    def live(self, id_: ObjectId) -> Live | None:
        """What the watch saw last of an object with owner labels."""
        cache = self._caches.get((id_.group, id_.kind))
        id_ = self.key_of(id_)
        return cache.get(NamespacedName(id_.namespace, id_.name)) if cache else None

    def is_watching(self, id_: ObjectId) -> bool:
        """Whether a change of the object would be noticed."""
        cache = self._caches.get((id_.group, id_.kind))
        return cache is not None and cache.is_synced

    async def watch(self, kind: ResourceType) -> None:
        """Returns once we know what there is of the kind."""
        key = (kind.gvk.group, kind.gvk.kind)
        cache = self._caches.get(key)
        if cache is None:
            cache = self._caches[key] = self._follow(kind)
            if not kind.namespaced:
                self._cluster_scoped.add(key)
        if cache.is_synced or key in self._unlisted:
            return
        try:
            async with asyncio.timeout(FIRST_LIST_PATIENCE):
                await cache.synced()
        except TimeoutError:
            self._unlisted.add(key)
            log.warning("drift is not noticed yet", extra={"watchedKind": kind.gvk.kind})

    async def watch_all(self, kinds: Iterable[Gvk]) -> None:
        """Start with what inventories name; a kind that is not served any more is left out."""
        async with asyncio.TaskGroup() as group:
            for gvk in set(kinds):
                group.create_task(self._watch_served(gvk))

    async def _watch_served(self, gvk: Gvk) -> None:
        try:
            kind = await self._cluster.resource_of(gvk)
        except ApiError as error:
            log.info("kind is not watched", extra={"watchedKind": gvk.kind, "error": str(error)})
            return
        await self.watch(kind)

    def _follow(self, kind: ResourceType) -> WatchCache[Live]:
        group, name = kind.gvk.group, kind.gvk.kind

        def changed(before: Live | None, after: Live | None) -> None:
            if after is not None:
                self.index.seen(ObjectId(*after.key, group, name), after)
            elif before is not None:
                self.index.vanished(ObjectId(*before.key, group, name), before)

        cache = WatchCache(
            self._cluster,
            kind.collection(),
            self._decode,
            lambda live: (live.key, str(live.version)),
            selection=Selection(labels=self._reader.ownership.name_label),
            metadata_only=True,
        )
        cache.on_change(changed)
        self._tasks.append(self._watchers.create_task(_run(cache)))
        return cache

    def _decode(self, raw: msgspec.Raw) -> Live:
        try:
            return self._reader.read(raw)
        except (msgspec.DecodeError, ValueError) as error:
            raise UndecodableError("metadata", str(error), None) from error

    def _drifted(self, drift: Drift) -> None:
        loop = asyncio.get_running_loop()
        delay = self._patience_with(drift.id, loop.time())
        if not delay:
            self._on_drift(drift)
            return
        log.warning("somebody keeps changing an object back", extra={"drift": str(drift)})
        loop.call_later(delay, self._on_drift, drift)

    def _patience_with(self, id_: ObjectId, now: float) -> float:
        if len(self._patience) > PATIENCES_KEPT:
            self._patience = {key: p for key, p in self._patience.items() if not p.is_full(now)}
        return self._patience.setdefault(id_, Patience(now)).take(now)


class Patience:
    """A bucket of corrections that fills by one per `PAUSE`."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._at = now

    def is_full(self, now: float) -> bool:
        return self._left + (now - self._at) / PAUSE >= BURST

    def take(self, now: float) -> float:
        """Seconds until this correction may happen: usually 0."""
        self._left = min(BURST, self._left + (now - self._at) / PAUSE) - 1
        self._at = now
        return max(0.0, -self._left * PAUSE)


async def _run(cache: WatchCache[Live]) -> None:
    async with cache.running():
        await asyncio.Event().wait()
