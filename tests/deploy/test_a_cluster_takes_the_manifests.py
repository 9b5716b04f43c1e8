"""A real API server accepts all of it without a single warning, and RBAC grants what was meant."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from penstock.local.control_plane import ControlPlane
from shared.cluster.client import APPLY_PATCH, Cluster
from shared.cluster.objects import ref_of
from tests.support.eventually import eventually
from tests.support.holding import held
from tests.support.manifests import BASE, PRODUCTION, Manifest, built, of_kind

NAMESPACE = "flux-system"
FIRST = ("Namespace", "CustomResourceDefinition", "ClusterRole", "Role", "ServiceAccount")


@pytest.fixture(scope="module")
async def empty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster of its own, that has but what the installation needs to be judged."""
    plane = ControlPlane(tmp_path_factory.mktemp("empty"), controllers=False)
    async with (
        held(plane) as plane,
        held(Cluster.connect(plane.kubeconfig, agent="tests")) as cluster,
    ):
        for kind in (*FIRST, "ClusterRoleBinding", "RoleBinding"):
            for manifest in built():
                if manifest["kind"] == kind:
                    await cluster.apply(manifest, manager="tests")
        yield cluster


async def warnings_about(cluster: Cluster, manifest: Manifest) -> list[str]:
    """Of a server-side dry run; an answer that is no success is one too."""
    kind = await cluster.resource_of(ref_of(manifest).gvk)
    metadata = manifest["metadata"]
    path = kind.path(metadata.get("namespace", ""), metadata["name"])
    query = "?fieldManager=tests&force=true&fieldValidation=Strict&dryRun=All"
    headers = {"Content-Type": APPLY_PATCH, "Accept": "application/json"}
    async with cluster.open("PATCH", path + query, orjson.dumps(manifest), headers) as answer:
        found = list(answer.headers.getall("Warning", []))
        if answer.status not in (200, 201):
            found.append(await answer.text())
    return [f"{manifest['kind']}/{metadata['name']}: {warning}" for warning in found]


@pytest.mark.parametrize("folder", [BASE, PRODUCTION])
async def test_everything_is_accepted_without_a_warning(empty: Cluster, folder: str) -> None:
    answers = await asyncio.gather(*(warnings_about(empty, each) for each in built(folder)))
    assert [warning for warnings in answers for warning in warnings] == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
async def test_a_pod_that_is_not_restricted_would_be_warned_about(
    empty: Cluster, kind: str
) -> None:
    for workload in of_kind(kind).values():
        del workload["spec"]["template"]["spec"]["containers"][0]["securityContext"]
        (warning,) = await warnings_about(empty, workload)
        assert "would violate PodSecurity" in warning


async def may(cluster: Cluster, account: str, verb: str, resource: str) -> bool:
    """`resource` is plural[/subresource][.group][@namespace]."""
    named, _, namespace = resource.partition("@")
    path, _, group = named.partition(".")
    plural, _, subresource = path.partition("/")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace or "team-a",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": attributes,
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer: dict[str, Any] = orjson.loads(await cluster.request("POST", path, review))
    return bool(answer["status"]["allowed"])


SOURCE, NOTIFY = "source-controller", "notification-controller"
SRC, KS, HELM, NOTE = (
    f"{group}.toolkit.fluxcd.io" for group in ("source", "kustomize", "helm", "notification")
)
LEASES = f"leases.coordination.k8s.io@{NAMESPACE}"
GRANTED = [
    (SOURCE, "watch", f"gitrepositories.{SRC}"),
    (SOURCE, "list", f"helmcharts.{SRC}"),
    (SOURCE, "patch", f"buckets/status.{SRC}"),
    (SOURCE, "patch", f"ocirepositories.{SRC}"),
    (SOURCE, "get", "secrets"),
    (SOURCE, "create", "events"),
    (SOURCE, "update", LEASES),
    (NOTIFY, "patch", f"gitrepositories.{SRC}"),
    (NOTIFY, "patch", f"kustomizations.{KS}"),
    (NOTIFY, "patch", f"helmreleases.{HELM}"),
    (NOTIFY, "patch", "imagerepositories.image.toolkit.fluxcd.io"),
    (NOTIFY, "patch", "artifactgenerators.source.extensions.fluxcd.io"),
    (NOTIFY, "patch", f"receivers/status.{NOTE}"),
    (NOTIFY, "watch", f"alerts.{NOTE}"),
    (NOTIFY, "watch", "secrets"),
    (NOTIFY, "create", "events"),
    (SOURCE, "get", "serviceaccounts"),
    (SOURCE, "create", "serviceaccounts/token"),
    ("kustomize-controller", "create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("kustomize-controller", "impersonate", "serviceaccounts"),
    ("helm-controller", "delete", "deployments.apps"),
    ("helm-controller", "create", f"helmcharts.{SRC}"),
]
WITHHELD = [
    (SOURCE, "list", "secrets"),
    (SOURCE, "update", "secrets"),
    (SOURCE, "create", f"gitrepositories.{SRC}"),
    (SOURCE, "delete", f"gitrepositories.{SRC}"),
    (SOURCE, "get", f"kustomizations.{KS}"),
    (SOURCE, "get", "pods"),
    (SOURCE, "create", "pods"),
    (SOURCE, "impersonate", "serviceaccounts"),
    (SOURCE, "list", "serviceaccounts"),
    (SOURCE, "create", "serviceaccounts"),
    (SOURCE, "update", "leases.coordination.k8s.io@kube-system"),
    (NOTIFY, "patch", f"kustomizations/status.{KS}"),
    (NOTIFY, "delete", f"helmreleases.{HELM}"),
    (NOTIFY, "update", "secrets"),
    (NOTIFY, "get", "configmaps"),
    (NOTIFY, "patch", "deployments.apps"),
    (NOTIFY, "impersonate", "serviceaccounts"),
    ("default", "get", f"gitrepositories.{SRC}"),
]


async def settled(cluster: Cluster) -> None:
    """The authorizer has seen the roles: its caches trail what is stored."""
    for account, verb, resource in (GRANTED[0], GRANTED[6], GRANTED[7], GRANTED[-1]):

        async def granted(account: str = account, verb: str = verb, what: str = resource) -> bool:
            return await may(cluster, account, verb, what)

        await eventually(granted)


@pytest.mark.parametrize(("account", "verb", "resource"), GRANTED)
async def test_a_service_may_do_its_work(
    empty: Cluster, account: str, verb: str, resource: str
) -> None:
    await settled(empty)
    assert await may(empty, account, verb, resource)


@pytest.mark.parametrize(("account", "verb", "resource"), WITHHELD)
async def test_a_service_may_do_nothing_else(
    empty: Cluster, account: str, verb: str, resource: str
) -> None:
    await settled(empty)
    assert not await may(empty, account, verb, resource)


def test_whoever_views_a_namespace_views_our_kinds() -> None:
    roles = of_kind("ClusterRole")
    groups = {crd["spec"]["group"] for crd in of_kind("CustomResourceDefinition").values()}
    for name in ("flux-view-flux-system", "flux-edit-flux-system"):
        (rule,) = roles[name]["rules"]
        assert groups <= set(rule["apiGroups"])
        assert roles[name]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"]
