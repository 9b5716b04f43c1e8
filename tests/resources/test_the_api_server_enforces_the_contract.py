"""What a schema says holds on a real API server: defaults, durations, enumerations, rules."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from shared.cluster.client import Cluster
from shared.cluster.errors import Invalid
from shared.cluster.objects import Gvk
from shared.resources.meta import NamespacedName, NoStatus
from shared.resources.registry import KINDS, AnyResource
from tests.support.crds import definitions, properties, schema_of
from tests.support.minimal import REF, minimal

EVERYBODYS = "default"  # nothing is stored there
BAD_DURATIONS = ("1d", "-5s", "5", "", "1e9h", "9223372036854775807h")
NEVER_SEEN = {
    "GitRepository",
    "OCIRepository",
    "HelmRepository",
    "HelmChart",
    "Bucket",
    "Kustomization",
    "HelmRelease",
    "Receiver",
}
Spec = dict[str, Any]


async def offered(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    """What the server would store."""
    kind = await cluster.resource_of(Gvk(manifest["apiVersion"], manifest["kind"]))
    path = kind.collection(manifest["metadata"]["namespace"])
    answer = await cluster.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", manifest)
    stored: dict[str, Any] = orjson.loads(answer)
    return stored


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_a_new_object_says_that_nobody_has_seen_it(
    cluster: Cluster, namespace: str, kind: type[AnyResource]
) -> None:
    stored = await cluster.create(minimal(kind.kind, namespace))
    expected = {"observedGeneration": -1} if kind.kind in NEVER_SEEN else None
    assert stored.get("status") == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_what_the_server_stores_decodes(
    cluster: Cluster, namespace: str, kind: type[AnyResource]
) -> None:
    await cluster.create(minimal(kind.kind, namespace))
    read = await cluster.get(kind, NamespacedName(namespace, "shop"))
    assert read is not None
    assert read.metadata.generation == 1
    if not isinstance(read.status, NoStatus):
        assert read.status.conditions == ()


def duration_fields() -> Iterator[tuple[str, tuple[str, ...]]]:
    for crd in definitions():
        for prop in properties(schema_of(crd)):
            if prop.name.lower().endswith(("interval", "timeout")):
                yield crd["spec"]["names"]["kind"], tuple(prop.path.split(".")[2:])


def with_field(path: tuple[str, ...], value: Any, rest: Spec) -> Spec:
    """The change to a spec that sets one field, inside what its parents need."""
    head, *tail = path
    if not tail:
        return {head: value}
    return {head: {**rest, **with_field(tuple(tail), value, {})}}


# What the parents of nested duration fields need besides.
PARENTS: dict[str, Spec] = {
    "chart.spec.interval": {
        "chartRef": None,
        "chart": {
            "spec": {
                "chart": "shop",
                "sourceRef": {"kind": "HelmRepository", "name": "charts"},
            }
        },
    },
    "install.strategy.retryInterval": {"install": {"strategy": {"name": "RetryOnFailure"}}},
    "upgrade.strategy.retryInterval": {"upgrade": {"strategy": {"name": "RetryOnFailure"}}},
}


def merged(under: Spec, over: Spec) -> Spec:
    both = {
        key: merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict)
    }
    return {**under, **over, **both}


def changes_for(path: tuple[str, ...], value: str) -> Spec:
    return merged(PARENTS.get(".".join(path), {}), with_field(path, value, {}))


@pytest.mark.parametrize(("kind", "path"), list(duration_fields()), ids=str)
async def test_a_duration_that_go_cannot_read_is_never_stored(
    cluster: Cluster, kind: str, path: tuple[str, ...]
) -> None:
    for good in ("90s", "1.5m", "250ms", "1m30s"):
        await offered(cluster, minimal(kind, EVERYBODYS, **changes_for(path, good)))
    for bad in BAD_DURATIONS:
        with pytest.raises(Invalid, match=path[-1]):
            await offered(cluster, minimal(kind, EVERYBODYS, **changes_for(path, bad)))


@pytest.mark.parametrize("kind", ["GitRepository", "Bucket", "Provider"])
async def test_hours_are_no_timeout_of_a_request(cluster: Cluster, kind: str) -> None:
    with pytest.raises(Invalid, match="timeout"):
        await offered(cluster, minimal(kind, EVERYBODYS, timeout="1h"))


CHART = {"spec": {"chart": "shop", "sourceRef": {"kind": "GitRepository", "name": "shop"}}}
LDAP = {"provider": "ldap", "endpoint": "https://sts.example.com"}
AWS = {"provider": "aws", "endpoint": "https://sts.example.com"}
ISSUER = {
    "issuerURL": "https://issuer.example.com",
    "validations": [{"expression": "true", "message": "no"}],
}
OIDC: Spec = {"type": "generic-oidc", "secretRef": None}
GIT_CHART = {"sourceRef": {"kind": "GitRepository", "name": "shop"}}
CAPTURED = [{"name": "shop-{app}", "copy": [{"from": "@git/{app}/**", "to": "@artifact/"}]}]

ACCEPTED: list[tuple[str, Spec]] = [
    ("GitRepository", {"url": "ssh://git@git.example.com/shop"}),
    ("GitRepository", {"provider": "aws", "serviceAccountName": "reader"}),
    ("GitRepository", {"verify": {"mode": "head", "secretRef": REF}}),
    ("HelmRepository", {"url": "oci://registry.example.com/charts", "type": "oci"}),
    ("HelmChart", {"verify": {}}),
    ("Bucket", {"provider": "aws", "sts": AWS}),
    ("Bucket", {"sts": {**LDAP, "secretRef": REF, "certSecretRef": REF}}),
    ("Bucket", {"provider": "gcp", "serviceAccountName": "reader"}),
    ("ArtifactGenerator", {"pathPattern": "@git/{app}", "artifacts": CAPTURED}),
    ("Kustomization", {"kubeConfig": {"secretRef": REF}}),
    ("Kustomization", {"kubeConfig": {"configMapRef": REF}}),
    ("Kustomization", {"sourceRef": {"kind": "ExternalArtifact", "name": "shop"}}),
    ("HelmRelease", {"chart": CHART, "chartRef": None}),
    ("HelmRelease", {"values": {"deep": {"list": [1, "a", None, 1.5]}}}),
    ("HelmRelease", {"valuesFrom": [{"kind": "Secret", "name": "a", "targetPath": "a.b[0]"}]}),
    ("Provider", {"type": "incident.io"}),
    ("Provider", {"type": "github", "commitStatusExpr": "'ci/' + event.reason"}),
    ("Receiver", {**OIDC, "oidcProviders": [ISSUER]}),
    ("Receiver", {"resources": [{"kind": "ImageRepository", "name": "*"}]}),
]
REFUSED: list[tuple[str, Spec, str]] = [
    ("GitRepository", {"url": "ext::sh -c touch% canary"}, "spec.url"),
    ("GitRepository", {"url": "file:///etc"}, "spec.url"),
    ("GitRepository", {"url": None}, "spec.url: Required"),
    ("GitRepository", {"serviceAccountName": "reader"}, "needs the provider aws or azure"),
    (
        "GitRepository",
        {"provider": "github", "serviceAccountName": "reader"},
        "needs the provider aws or azure",
    ),
    ("GitRepository", {"provider": "gitlab"}, "Unsupported value"),
    ("GitRepository", {"verify": {"mode": "HEAD"}}, "secretRef: Required"),
    ("OCIRepository", {"url": "https://registry.example.com/shop"}, "spec.url"),
    ("OCIRepository", {"layerSelector": {"operation": "move"}}, "Unsupported value"),
    ("HelmRepository", {"url": "file:///charts"}, "spec.url"),
    ("HelmRepository", {"type": "git"}, "Unsupported value"),
    ("HelmChart", {**GIT_CHART, "verify": {}}, "needs a HelmRepository"),
    ("HelmChart", {"reconcileStrategy": "Always"}, "Unsupported value"),
    ("Bucket", {"provider": "gcp", "sts": LDAP}, "sts needs the provider aws or generic"),
    ("Bucket", {"provider": "aws", "sts": LDAP}, "provider aws needs"),
    ("Bucket", {"sts": AWS}, "provider generic needs"),
    ("Bucket", {"provider": "aws", "sts": {**AWS, "secretRef": REF}}, "takes no secretRef"),
    ("Bucket", {"provider": "aws", "sts": {**AWS, "certSecretRef": REF}}, "no certSecretRef"),
    ("Bucket", {"serviceAccountName": "reader"}, "provider other than generic"),
    (
        "Bucket",
        {"provider": "aws", "serviceAccountName": "reader", "secretRef": REF},
        "exclude each other",
    ),
    ("ArtifactGenerator", {"artifacts": CAPTURED}, "DNS subdomains"),
    ("ArtifactGenerator", {"artifacts": []}, "should have at least 1"),
    ("Kustomization", {"kubeConfig": {}}, "none is given"),
    ("Kustomization", {"kubeConfig": {"secretRef": REF, "configMapRef": REF}}, "both are given"),
    ("Kustomization", {"prune": None}, "spec.prune: Required"),
    ("Kustomization", {"deletionPolicy": "Keep"}, "Unsupported value"),
    ("Kustomization", {"targetNamespace": ""}, "targetNamespace"),
    ("Kustomization", {"namePrefix": "x" * 201}, "namePrefix"),
    ("Kustomization", {"buildMetadata": ["everything"]}, "Unsupported value"),
    ("HelmRelease", {"chart": CHART}, "exactly one of chart and chartRef"),
    ("HelmRelease", {"chartRef": None}, "exactly one of chart and chartRef"),
    ("HelmRelease", {"releaseName": "x" * 54}, "releaseName"),
    ("HelmRelease", {"kubeConfig": {}}, "none is given"),
    (
        "HelmRelease",
        {"install": {"strategy": {"name": "RemediateOnFailure", "retryInterval": "1m"}}},
        "needs the strategy RetryOnFailure",
    ),
    (
        "HelmRelease",
        {"valuesFrom": [{"kind": "Secret", "name": "a", "targetPath": "a[999999]"}]},
        "targetPath",
    ),
    ("Alert", {"eventSeverity": "warning"}, "Unsupported value"),
    ("Alert", {"eventSources": [{"kind": "Deployment", "name": "a"}]}, "Unsupported value"),
    ("Alert", {"summary": "x" * 256}, "summary"),
    ("Provider", {"type": "pigeon"}, "Unsupported value"),
    ("Provider", {"commitStatusExpr": "'a'"}, "writes commit statuses"),
    ("Provider", {"address": "x" * 2049}, "address"),
    ("Receiver", {"secretRef": None}, "secretRef is needed"),
    ("Receiver", {"oidcProviders": [ISSUER]}, "needs the type generic-oidc"),
    ("Receiver", OIDC, "needs oidcProviders"),
    (
        "Receiver",
        {"type": "generic-oidc", "oidcProviders": [ISSUER]},
        "takes no secretRef",
    ),
    ("Receiver", {**OIDC, "oidcProviders": [ISSUER, ISSUER]}, "Duplicate"),
]


@pytest.mark.parametrize(("kind", "changes"), ACCEPTED)
async def test_what_makes_sense_is_accepted(cluster: Cluster, kind: str, changes: Spec) -> None:
    accepted = await offered(cluster, minimal(kind, EVERYBODYS, **changes))
    for field, value in changes.items():
        assert value is None or accepted["spec"][field]


@pytest.mark.parametrize(("kind", "changes", "reason"), REFUSED)
async def test_what_makes_no_sense_is_refused_with_the_reason(
    cluster: Cluster, kind: str, changes: Spec, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        await offered(cluster, minimal(kind, EVERYBODYS, **changes))


async def test_a_chart_without_values_may_say_so(cluster: Cluster) -> None:
    release = minimal("HelmRelease", EVERYBODYS)
    release["spec"]["values"] = None
    assert "shop" in str(await offered(cluster, release))
