"""What goes with an object when it is deleted, as far as inventories tell."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from services.kustomize.deletion import deletes
from services.kustomize.stored import stored_inventory
from shared.cluster.errors import ApiError
from shared.cluster.inventory import Inventory, ObjectId
from shared.cluster.objects import Manifest, ObjectRef
from shared.resources.helm.release import HelmRelease
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

RELEASES_READ = 100
_NAMESPACE = ("", "Namespace")
_DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")


class Known(Protocol):
    """The part of the watch cache of Kustomizations that is needed here."""

    def get(self, key: NamespacedName) -> Kustomization | None: ...

    def values(self) -> Iterable[Kustomization]: ...


class Reader(Protocol):
    """The part of `Cluster` that is needed here."""

    async def read(self, ref: ObjectRef) -> Manifest | None: ...


class Losses:
    def __init__(self, kustomizations: Known) -> None:
        self._kustomizations = kustomizations

    async def of(self, doomed: Iterable[ObjectId], reader: Reader | None = None) -> set[ObjectId]:
        """The objects and, over all steps, what they hold; `reader` also looks into releases."""
        lost, todo, releases = set[ObjectId](), list(doomed), 0
        while todo:
            id_ = todo.pop()
            if id_ in lost:
                continue
            lost.add(id_)
            todo += self._held_by(id_)
            if reader and _is(id_, HelmRelease.group_kind()) and releases < RELEASES_READ:
                releases += 1
                todo += await _released(id_, reader)
        return lost

    def _held_by(self, id_: ObjectId) -> Iterable[ObjectId]:
        if _is(id_, Kustomization.group_kind()):
            child = self._kustomizations.get(NamespacedName(id_.namespace, id_.name))
            return stored_inventory(child) if child and deletes(child) else ()
        if _is(id_, _NAMESPACE):
            return [known for known in self._known() if known.namespace == id_.name]
        if _is(id_, _DEFINITION):
            return [known for known in self._known() if _is_defined_by(known, id_.name)]
        return ()

    def _known(self) -> Iterator[ObjectId]:
        for each in self._kustomizations.values():
            yield from stored_inventory(each)


def _is(id_: ObjectId, group_kind: tuple[str, str]) -> bool:
    return (id_.group, id_.kind) == group_kind


def _is_defined_by(id_: ObjectId, definition: str) -> bool:
    """By name, `<plural>.<group>`; a plural begins as its kind does, but for the last letter."""
    plural, _, group = definition.partition(".")
    return id_.group == group and plural.startswith(id_.kind.lower()[:-1])


async def _released(id_: ObjectId, reader: Reader) -> Iterable[ObjectId]:
    """Nothing where it cannot be read: then it counts as one object."""
    try:
        found = await reader.read(id_.ref(HelmRelease.api_version.partition("/")[2]))
    except ApiError:
        return ()
    entries = ((found or {}).get("status", {}).get("inventory") or {}).get("entries") or ()
    return Inventory.stored((each.get("id", ""), each.get("v", "")) for each in entries)
