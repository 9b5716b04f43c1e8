"""Who refers to what: an index over the Kustomizations, kept current by their watch cache."""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from shared.cluster.watch_cache import WatchCache
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

Target = TypeVar("Target", bound=Hashable)


class Referrers(Generic[Target]):
    def __init__(
        self,
        cache: WatchCache[Kustomization],
        targets: Callable[[Kustomization], Iterable[Target]],
    ) -> None:
        self._targets = targets
        self._by_target: dict[Target, set[NamespacedName]] = {}
        cache.on_change(self._changed)

    def of(self, target: Target) -> frozenset[NamespacedName]:
        return frozenset(self._by_target.get(target, ()))

    def _changed(self, before: Kustomization | None, after: Kustomization | None) -> None:
        old = set(self._targets(before)) if before else set()
        new = set(self._targets(after)) if after else set()
        owner = after or before
        if owner is None or old == new:
            return
        for target in old - new:
            self._by_target[target].discard(owner.key)
            if not self._by_target[target]:
                del self._by_target[target]
        for target in new - old:
            self._by_target.setdefault(target, set()).add(owner.key)
