"""The annotation that names dependencies of any kind, and circles through several kinds."""

import msgspec
import pytest

from shared.clock import now
from shared.cluster.kstatus import readiness_of
from shared.dependencies import (
    DEPENDS_ON,
    AccessDenied,
    BadDependency,
    DependencyRef,
    annotated,
    circle_of,
    require_reachable,
    told_circle,
)
from shared.resources.helm import HelmRelease
from shared.resources.kustomize import Kustomization
from tests.support.helm_releases import a_helm_release


def a_kustomization(name: str, needs: str = "") -> Kustomization:
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": "shop", "annotations": {DEPENDS_ON: needs}},
            "spec": {
                "interval": "1m",
                "prune": True,
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
            },
        },
        Kustomization,
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", []),
        ("HelmRelease/db/main", [("helm.toolkit.fluxcd.io", "HelmRelease", "db", "main")]),
        ("HelmRelease/main", [("helm.toolkit.fluxcd.io", "HelmRelease", "shop", "main")]),
        (
            "Certificate.cert-manager.io/shop/web, Secret/shop/key,",
            [("cert-manager.io", "Certificate", "shop", "web"), ("", "Secret", "shop", "key")],
        ),
    ],
)
def test_objects_are_named_by_kind_namespace_and_name(
    text: str, named: list[tuple[str, str, str, str]]
) -> None:
    assert annotated(a_kustomization("apps", text)) == [DependencyRef(*each) for each in named]


@pytest.mark.parametrize("text", ["main", "HelmRelease/", "/a/b", "A/b/c/d", "HelmRelease//main"])
def test_what_names_nothing_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(BadDependency, match=r"annotation penstock.dev/depends-on: .*: write Kind/"):
        annotated(a_kustomization("apps", text))


def test_more_objects_than_anybody_needs_are_refused() -> None:
    with pytest.raises(BadDependency, match="names 51 objects, of at most 50"):
        annotated(a_kustomization("apps", "Secret/a," * 51))


def test_other_namespaces_can_be_blocked() -> None:
    apps = a_kustomization("apps", "Secret/other/key")

    require_reachable(apps, cross_namespace=True)
    require_reachable(a_kustomization("apps", "Secret/shop/key"), cross_namespace=False)
    with pytest.raises(AccessDenied, match="can't access 'Secret/other/key', cross-namespace ref"):
        require_reachable(apps, cross_namespace=False)


async def test_a_circle_through_kinds_is_told_with_them() -> None:
    release = a_helm_release("db", "shop", annotations={DEPENDS_ON: "Kustomization/apps"})
    apps = a_kustomization("apps", "HelmRelease/db")

    async def lookup(ref: DependencyRef) -> HelmRelease | None:
        return release if ref.kind == "HelmRelease" else None

    circle = await circle_of(apps, lookup)

    assert told_circle(circle) == (
        "Kustomization/shop/apps -> HelmRelease/shop/db -> Kustomization/shop/apps"
    )


async def test_the_search_for_a_circle_ends() -> None:
    async def endless(ref: DependencyRef) -> Kustomization:
        number = int(ref.name)
        return a_kustomization(ref.name, f"Kustomization/{number + 1}")

    assert await circle_of(a_kustomization("0", "Kustomization/1"), endless) == []


def said(status: str) -> dict[str, object]:
    return {"conditions": [{"type": "Ready", "status": status}]}


@pytest.mark.parametrize(
    ("kind", "status", "state"),
    [
        (("example.org/v1", "Thing"), {}, "InProgress"),
        (("example.org/v1", "Thing"), said("True"), "Current"),
        (("example.org/v1", "Thing"), said("False"), "InProgress"),
        (("v1", "ConfigMap"), {}, "Current"),
        (("apps/v1", "Deployment"), {}, "InProgress"),
    ],
    ids=["silent", "ready", "not ready", "ready by existing", "by its kind's rule"],
)
def test_what_speaks_by_its_condition_ready_must_have_spoken(
    kind: tuple[str, str], status: dict[str, object], state: str
) -> None:
    manifest = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "a"}, "status": status}

    assert readiness_of(manifest, now()).state == state
