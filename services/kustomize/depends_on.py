"""`spec.dependsOn`: what must be ready first, answered by the watch cache the moment it is.

A dependency that is about to become ready (it works on the same commit) is waited for a moment
before the run gives up, so that a chain does not turn unready, link by link, with every commit.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Protocol

from services.kustomize.referrers import Referrers
from services.kustomize.source_ref import source_of
from shared.cluster.watch_cache import WatchCache
from shared.conditions import READY, find, is_true
from shared.durations import format_duration
from shared.outcomes import Stalled, Waiting
from shared.pace import STEADY
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, NamespacedName
from shared.run import Run

GRACE = 2.0
TOLD = "Dependencies do not meet ready condition, retrying in {}"


class DependencyNotReady(Waiting):
    reason = "DependencyNotReady"


class DependencyCycle(Stalled):
    reason = "DependencyNotReady"


class Lookup(Protocol):
    def get(self, key: NamespacedName) -> Kustomization | None: ...


class Dependencies:
    def __init__(
        self,
        cache: WatchCache[Kustomization],
        grace: float = GRACE,
        *,
        requeue: timedelta = STEADY.waiting,
    ) -> None:
        self._told = TOLD.format(format_duration(requeue))
        self._cache = cache
        self._grace = grace
        self._dependents = Referrers(cache, dependencies_of)
        self._waiting: dict[NamespacedName, asyncio.Event] = {}
        cache.on_change(self._changed)

    async def require(self, kustomization: Kustomization, artifact: Artifact, run: Run) -> None:
        """Raises DependencyNotReady, or DependencyCycle with the names of a circle."""
        problem = unmet(kustomization, artifact, self._cache)
        if problem is None:
            return
        if circle := cycle_of(kustomization, self._cache):
            names = " -> ".join(map(str, circle))
            raise DependencyCycle(f"dependency cycle, none of these can ever be ready: {names}")
        async with run.idle():
            problem = await self._until_met(kustomization, artifact)
        if problem is not None:
            ready = find(kustomization.status.conditions, READY)
            if ready is None or ready.reason != DependencyNotReady.reason:
                run.event("info", DependencyNotReady.reason, self._told)
            raise DependencyNotReady(problem)

    def affected(
        self, before: Kustomization | None, after: Kustomization | None
    ) -> Iterable[NamespacedName]:
        """Whom to look at because of this change; who is being waited with knows already."""
        changed = after or before
        if changed is None or _readiness(before) == _readiness(after):
            return ()
        return [key for key in self._dependents.of(changed.key) if key not in self._waiting]

    async def _until_met(self, kustomization: Kustomization, artifact: Artifact) -> str | None:
        changed = self._waiting[kustomization.key] = asyncio.Event()
        deadline = asyncio.get_running_loop().time() + self._grace
        try:
            async with asyncio.timeout_at(deadline):
                while unmet(kustomization, artifact, self._cache):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            pass
        finally:
            del self._waiting[kustomization.key]
        return unmet(kustomization, artifact, self._cache)

    def _changed(self, before: Kustomization | None, after: Kustomization | None) -> None:
        changed = after or before
        if changed is not None and self._waiting:
            for key in self._dependents.of(changed.key) & self._waiting.keys():
                self._waiting[key].set()


def unmet(kustomization: Kustomization, artifact: Artifact, cache: Lookup) -> str | None:
    """The first dependency that is not ready, in words; None when all are."""
    for key in dependencies_of(kustomization):
        dependency = cache.get(key)
        if dependency is None:
            return f"dependency '{key}' not found"
        if not is_ready(dependency):
            return f"dependency '{key}' is not ready"
        same_source = source_of(dependency) == source_of(kustomization)
        if same_source and dependency.status.last_applied_revision != artifact.revision:
            return f"dependency '{key}' revision is not up to date"
    return None


def is_ready(kustomization: Kustomization) -> bool:
    status = kustomization.status
    is_observed = status.observed_generation == kustomization.metadata.generation
    return is_observed and is_true(status.conditions, READY)


def dependencies_of(kustomization: Kustomization) -> list[NamespacedName]:
    return [
        NamespacedName(each.namespace or kustomization.metadata.namespace, each.name)
        for each in kustomization.spec.depends_on
    ]


def cycle_of(kustomization: Kustomization, cache: Lookup) -> list[NamespacedName]:
    """A way from the Kustomization back to itself; empty when there is none."""
    start = kustomization.key
    came_from: dict[NamespacedName, NamespacedName] = {}
    todo = [start]
    while todo:
        key = todo.pop()
        node = cache.get(key) if key != start else kustomization
        for target in dependencies_of(node) if node else ():
            if target == start:
                return [start, *reversed(list(_way_back(key, came_from, start))), start]
            if target not in came_from:
                came_from[target] = key
                todo.append(target)
    return []


def _way_back(
    key: NamespacedName, came_from: dict[NamespacedName, NamespacedName], start: NamespacedName
) -> Iterator[NamespacedName]:
    while key != start:
        yield key
        key = came_from[key]


def in_dependency_order(keys: Iterable[NamespacedName], cache: Lookup) -> list[NamespacedName]:
    """Every name once, after those of the same set that it depends on; cycles do no harm."""
    chosen, entered = set(keys), set[NamespacedName]()
    order: list[NamespacedName] = []
    for root in sorted(chosen):
        path = [] if root in entered else [(root, _ahead(root, cache))]
        entered.add(root)
        while path:
            key, ahead = path[-1]
            target = next((each for each in ahead if each in chosen and each not in entered), None)
            if target is None:
                order.append(key)
                path.pop()
            else:
                entered.add(target)
                path.append((target, _ahead(target, cache)))
    return order


def _ahead(key: NamespacedName, cache: Lookup) -> Iterator[NamespacedName]:
    kustomization = cache.get(key)
    return iter(dependencies_of(kustomization) if kustomization else ())


def _readiness(kustomization: Kustomization | None) -> tuple[object, ...]:
    if kustomization is None:
        return ()
    return (
        is_ready(kustomization),
        kustomization.status.last_applied_revision,
        tuple(dependencies_of(kustomization)),
    )
