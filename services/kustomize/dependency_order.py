"""The order that `spec.dependsOn` puts Kustomizations in."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName


class Lookup(Protocol):
    def get(self, key: NamespacedName) -> Kustomization | None: ...


def dependencies_of(kustomization: Kustomization) -> list[NamespacedName]:
    return [
        NamespacedName(each.namespace or kustomization.metadata.namespace, each.name)
        for each in kustomization.spec.depends_on
    ]


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
