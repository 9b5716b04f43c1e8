"""Waits for objects of foreign kinds on behalf of others, and wakes them when these get ready.

There is one watch for each kind and namespace, and only while somebody is waiting (and a while
longer, as shared.cluster.status_watch keeps it). It asks as whom the waiting object may ask: a
tenant learns nothing of objects that its account may not read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from shared.cluster.client import Cluster
from shared.cluster.kstatus import readiness_of
from shared.cluster.status_watch import Place, Seen, StatusWatches
from shared.cluster.watch_cache import Selection, WatchCache
from shared.dependencies import DependencyRef
from shared.outcomes import Failed
from shared.resources.meta import NamespacedName

LISTED_WITHIN = 2.0  # seconds

Wake = Callable[[NamespacedName], None]


@dataclass(eq=False)
class _Vigil:
    """`problem` is answered anew from what the watches show, as often as somebody asks."""

    cluster: Cluster
    refs: Sequence[DependencyRef]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    places: dict[DependencyRef, tuple[NamespacedName, WatchCache[Seen]] | str] = field(
        default_factory=dict
    )
    task: asyncio.Task[None] | None = None

    def is_about(self, cluster: Cluster, refs: Sequence[DependencyRef]) -> bool:
        """And all that it is about could be looked for."""
        is_complete = not any(isinstance(place, str) for place in self.places.values())
        return is_complete and (self.cluster, self.refs) == (cluster, refs)

    def problem(self) -> str | None:
        return next((said for ref in self.refs if (said := self._problem_of(ref))), None)

    def _problem_of(self, ref: DependencyRef) -> str | None:
        place = self.places.get(ref, "it has not been looked for yet")
        if isinstance(place, str):
            return f"dependency '{ref}' not found: {place}"
        key, cache = place
        if not cache.is_synced:
            return f"dependency '{ref}' is not known: its kind cannot be listed and watched"
        seen = cache.get(key)
        if seen is None:
            return f"dependency '{ref}' not found"
        if seen.status.state == "Current":
            return None
        return f"dependency '{ref}' is not ready: {seen.status.message}"


class ReadyWatch:
    def __init__(self, watches: StatusWatches, tasks: asyncio.TaskGroup, wake: Wake) -> None:
        self._watches = watches
        self._tasks = tasks
        self._wake = wake
        self._vigils: dict[NamespacedName, _Vigil] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, watches: StatusWatches, wake: Wake) -> AsyncIterator["ReadyWatch"]:
        """`wake` is called, with who waits, when something of what it waits for has changed."""
        async with asyncio.TaskGroup() as tasks:
            watch = cls(watches, tasks, wake)
            try:
                yield watch
            finally:
                for owner in list(watch._vigils):
                    watch.forget(owner)

    async def problem(
        self, owner: NamespacedName, cluster: Cluster, refs: Sequence[DependencyRef]
    ) -> str | None:
        """The first that is not ready, in words. While there is one, the owner is woken."""
        vigil = self._vigils.get(owner)
        if vigil is None or not vigil.is_about(cluster, refs):
            self.forget(owner)
            if not refs:
                return None
            vigil = self._vigils[owner] = _Vigil(cluster, refs)
            vigil.task = self._tasks.create_task(self._keep(owner, vigil))
        await vigil.opened.wait()
        problem = vigil.problem()
        if problem is None:
            self.forget(owner)
        return problem

    def forget(self, owner: NamespacedName) -> None:
        vigil = self._vigils.pop(owner, None)
        if vigil is not None and vigil.task is not None:
            vigil.task.cancel()

    async def _keep(self, owner: NamespacedName, vigil: _Vigil) -> None:
        async with AsyncExitStack() as stack:
            try:
                for ref in vigil.refs:
                    vigil.places[ref] = await self._followed(ref, vigil, stack)
                await _listed(cache for _, cache in _found(vigil))
            finally:
                vigil.opened.set()
            while True:
                vigil.changed.clear()
                await vigil.changed.wait()
                self._wake(owner)

    async def _followed(
        self, ref: DependencyRef, vigil: _Vigil, stack: AsyncExitStack
    ) -> tuple[NamespacedName, WatchCache[Seen]] | str:
        try:
            kind = await vigil.cluster.preferred(ref.group, ref.kind)
        except Failed as error:
            return str(error)
        namespace = ref.namespace if kind.namespaced else ""
        key = NamespacedName(namespace, ref.name)
        selection = Selection(namespace=namespace)
        place = Place(vigil.cluster, kind.gvk, selection, read=readiness_of)
        following = self._watches.following(place, [key], vigil.changed)
        return key, await stack.enter_async_context(following)


def _found(vigil: _Vigil) -> list[tuple[NamespacedName, WatchCache[Seen]]]:
    return [place for place in vigil.places.values() if not isinstance(place, str)]


async def _listed(caches: Iterable[WatchCache[Seen]]) -> None:
    try:
        async with asyncio.timeout(LISTED_WITHIN):
            for cache in caches:
                await cache.synced()
    except TimeoutError:
        pass  # it is said of those that are not
