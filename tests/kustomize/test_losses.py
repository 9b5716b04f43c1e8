"""Whoever deletes a holder deletes what it holds."""

from typing import Any

import msgspec
import pytest

from services.kustomize.losses import Losses
from shared.cluster.errors import Forbidden
from shared.cluster.inventory import ObjectId
from shared.cluster.objects import Manifest, ObjectRef
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
ROOT = ObjectId("shop", "root", KUSTOMIZE, "Kustomization")


class Cache:
    def __init__(self, *known: Kustomization) -> None:
        self._known = {each.key: each for each in known}

    def get(self, key: NamespacedName) -> Kustomization | None:
        return self._known.get(key)

    def values(self) -> list[Kustomization]:
        return [*self._known.values()]


class Releases:
    """Answers with one release's inventory, or not at all."""

    def __init__(self, *ids: str, is_forbidden: bool = False) -> None:
        self._ids = ids
        self._is_forbidden = is_forbidden

    async def read(self, ref: ObjectRef) -> Manifest | None:
        if self._is_forbidden:
            raise Forbidden("not for you")
        return {"status": {"inventory": {"entries": [{"id": id_, "v": "v1"} for id_ in self._ids]}}}


def a_kustomization(name: str, *ids: str, **spec: Any) -> Kustomization:
    stored = {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "interval": "1m",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
            **spec,
        },
        "status": {"inventory": {"entries": [{"id": id_, "v": "v1"} for id_ in ids]}},
    }
    return msgspec.convert(stored, Kustomization)


async def lost(doomed: ObjectId, *known: Kustomization, reader: Releases | None = None) -> set[str]:
    return {id_.name for id_ in await Losses(Cache(*known)).of([doomed], reader)}


async def test_children_count_down_to_the_last_and_circles_do_no_harm() -> None:
    root = a_kustomization("root", f"shop_child_{KUSTOMIZE}_Kustomization", "shop_a__ConfigMap")
    child = a_kustomization("child", f"shop_root_{KUSTOMIZE}_Kustomization", "shop_b__ConfigMap")

    assert await lost(ROOT, root, child) == {"root", "child", "a", "b"}


@pytest.mark.parametrize(
    "keeps", [{"deletionPolicy": "Orphan"}, {"prune": False}, {"suspend": True}]
)
async def test_a_child_that_keeps_its_objects_counts_as_one(keeps: dict[str, Any]) -> None:
    assert await lost(ROOT, a_kustomization("root", "shop_a__ConfigMap", **keeps)) == {"root"}


async def test_a_namespace_counts_with_all_that_anybody_has_in_it() -> None:
    others = a_kustomization("other", "web_a__ConfigMap", "web_b_apps_Deployment", "db_c__Secret")

    assert await lost(ObjectId("", "web", "", "Namespace"), others) == {"web", "a", "b"}


@pytest.mark.parametrize(
    ("definition", "kind"),
    [("widgets.example.com", "Widget"), ("policies.example.com", "Policy")],
)
async def test_a_definition_counts_with_the_objects_of_its_kind(definition: str, kind: str) -> None:
    other = a_kustomization(
        "other", f"web_a_example.com_{kind}", f"web_b_other.com_{kind}", "web_c_example.com_Gadget"
    )
    defining = ObjectId("", definition, "apiextensions.k8s.io", "CustomResourceDefinition")

    assert await lost(defining, other) == {definition, "a"}


async def test_a_release_counts_with_its_inventory_where_it_can_be_read() -> None:
    release = ObjectId("shop", "db", "helm.toolkit.fluxcd.io", "HelmRelease")
    readable, hidden = Releases("shop_a__ConfigMap"), Releases(is_forbidden=True)

    assert await lost(release, reader=readable) == {"db", "a"}
    assert await lost(release, reader=hidden) == {"db"}
    assert await lost(release) == {"db"}
