"""What a chart renders, or a tenant stores, can have any shape: it is named, and hurts nobody."""

from typing import Any

import pytest

from services.helm.hooks import HookFailed, hooks_for, in_order
from services.helm.manifests import Placed, UnreadableManifest, is_kept, marked, read
from services.helm.names import ReleaseIdentity
from services.helm.ownership import deletable_by
from services.helm.release_secret import StoredRelease
from services.helm.stored_objects import let_go_of, since_last_good
from shared.cluster.client import Cluster
from shared.cluster.inventory import Inventory
from shared.cluster.objects import ObjectRef
from shared.cluster.wanted import NotAnObject
from shared.resources.meta import NamespacedName
from tests.support.helm_releases import a_stored_release

IDENTITY = ReleaseIdentity("shop", "team-a", "team-a")
OWNER = NamespacedName("team-a", "shop")


def a_config_map(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", **metadata}}


def stored(version: int, status: str, manifest: str = "") -> StoredRelease:
    return StoredRelease(body=a_stored_release(version, status, manifest=manifest))


@pytest.mark.parametrize(
    "manifest",
    [
        "text",
        ["list"],
        {},
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": "x"},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}},
        {"apiVersion": 1, "kind": "ConfigMap", "metadata": {"name": "x"}},
        {"apiVersion": "v1", "kind": {}, "metadata": {"name": "x"}},
        a_config_map(labels="x"),
        a_config_map(annotations=["x"]),
        {"apiVersion": "v1", "kind": "List", "items": ["text"]},
    ],
)
async def test_what_is_no_object_is_refused(cluster: Cluster, manifest: Any) -> None:
    with pytest.raises(NotAnObject):
        await Placed(cluster, "team-a").all([manifest])


async def test_a_broken_definition_is_the_api_servers_to_refuse(cluster: Cluster) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "spec": {"versions": "none"},
    }

    assert await Placed(cluster, "team-a").all([definition]) == [definition]


async def test_objects_go_to_the_releases_namespace_unless_they_say_otherwise(
    cluster: Cluster,
) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "x", "namespace": "wrong"},
    }
    objects = [a_config_map(), a_config_map(namespace="other"), role]

    placed = await Placed(cluster, "team-a").all(objects)

    assert [each["metadata"].get("namespace") for each in placed] == ["team-a", "other", None]


async def test_an_object_of_a_gone_version_is_still_let_go_of(cluster: Cluster) -> None:
    old = "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: web}\n"

    found = await let_go_of(Placed(cluster, "team-a"), [stored(1, "deployed", old)])

    assert list(found) == list(
        Inventory.of([ObjectRef("apps/v1beta1", "Deployment", "team-a", "web")])
    )


def test_what_is_let_go_of_reaches_back_to_the_last_good_version() -> None:
    versions = [
        stored(4, "failed"),
        stored(3, "failed"),
        stored(2, "superseded"),
        stored(1, "failed"),
    ]

    assert [each.version for each in since_last_good(versions)] == [4, 3, 2]
    assert [each.version for each in since_last_good(versions[:2])] == [4, 3]


def test_a_stored_manifest_that_is_not_yaml_is_named() -> None:
    with pytest.raises(UnreadableManifest, match=r"stored manifest of shop\.v1 is not YAML"):
        read("a: [", "shop.v1")


def test_marks_are_added_to_what_is_there() -> None:
    labels = {"app": "x", "app.kubernetes.io/managed-by": "me"}
    original = a_config_map(labels=labels, annotations=None)

    result = marked(original, IDENTITY)["metadata"]

    assert result["labels"] == {"app": "x", "app.kubernetes.io/managed-by": "Helm"}
    assert result["annotations"] == {
        "meta.helm.sh/release-name": "shop",
        "meta.helm.sh/release-namespace": "team-a",
    }
    assert original["metadata"]["labels"] is labels


OURS = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "team-a"}
OTHERS = {"meta.helm.sh/release-name": "store", "meta.helm.sh/release-namespace": "team-a"}
LABELLED = {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "team-a"}
OTHERS_LABEL = {**LABELLED, "helm.toolkit.fluxcd.io/name": "store"}
KUSTOMIZED = {
    "kustomize.toolkit.fluxcd.io/name": "apps",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
KEEP = {**OURS, "helm.sh/resource-policy": " Keep "}


@pytest.mark.parametrize(
    ("labels", "annotations", "deletable"),
    [
        (LABELLED, OURS, True),
        ({}, OURS, True),
        (None, None, True),
        (LABELLED, KEEP, False),
        ({}, OTHERS, False),
        (OTHERS_LABEL, OURS, False),
        ({**LABELLED, **KUSTOMIZED}, OURS, False),
    ],
)
def test_only_what_is_still_ours_is_deleted(labels: Any, annotations: Any, deletable: bool) -> None:
    live = a_config_map(labels=labels, annotations=annotations)

    assert deletable_by(IDENTITY, OWNER)(live) is deletable
    assert is_kept(live) is (annotations is KEEP)


def test_hooks_run_by_weight_and_name() -> None:
    hooks = [
        {"name": name, "weight": weight, "events": ["pre-install"], "manifest": "", "path": name}
        for name, weight in (("c", 0), ("a", 1), ("b", 0), ("d", -5))
    ]
    release = StoredRelease(body=a_stored_release(hooks=hooks))

    found = in_order(hooks_for(release, frozenset({"pre-install"})))

    assert [hook.name for hook in found] == ["d", "b", "c", "a"]
    assert hooks_for(release, frozenset({"post-install"})) == []


def test_a_hook_that_is_not_yaml_is_named() -> None:
    hook = {"name": "x", "path": "shop/templates/x.yaml", "events": ["pre-install"]}
    release = StoredRelease(body=a_stored_release(hooks=[{**hook, "manifest": "a: ["}]))

    with pytest.raises(HookFailed, match=r"hook shop/templates/x\.yaml is not YAML"):
        hooks_for(release, frozenset({"pre-install"}))
