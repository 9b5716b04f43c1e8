"""Sees facts the moment the API server tells them, so that looking costs the measured nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest
from shared.cluster.watch_cache import Selection, WatchCache, watch_manifests

WITHIN = 300.0


@asynccontextmanager
async def watching(
    cluster: Cluster, gvk: Gvk, namespace: str
) -> AsyncIterator[WatchCache[Manifest]]:
    kind = await cluster.resource_of(gvk)
    async with watch_manifests(cluster, kind, Selection(namespace=namespace)).running() as cache:
        await cache.synced()
        yield cache


async def until(cache: WatchCache[Manifest], fact: Callable[[Iterable[Manifest]], bool]) -> None:
    """Returns as soon as the fact holds of the cached objects; TimeoutError says which did not."""
    changed = asyncio.Event()
    cache.on_change(lambda before, after: changed.set())
    async with asyncio.timeout(WITHIN):
        while not fact(cache.values()):
            changed.clear()
            await changed.wait()


def named(objects: Iterable[Manifest], name: str) -> Manifest | None:
    return next((obj for obj in objects if obj["metadata"]["name"] == name), None)


def is_ready(obj: Manifest, revision: str = "") -> bool:
    """Ready for its current generation (and, if given, with this revision applied)."""
    status = obj.get("status", {})
    ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
    applied: str = status.get("lastAppliedRevision", "")
    return (
        ready is not None
        and ready["status"] == "True"
        and status.get("observedGeneration") == obj["metadata"]["generation"]
        and applied.endswith(revision)
    )
