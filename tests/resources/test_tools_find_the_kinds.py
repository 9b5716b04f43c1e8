"""kubectl, dashboards and the flux CLI know the kinds by these names, columns, labels, defaults."""

import re

import pytest

from tests.support.crds import definition_of, definitions, properties, schema_of, version_of

SOURCES, APPLIERS, NOTIFICATIONS = "fluxcd-sources", "fluxcd-appliers", "fluxcd-notifications"
NEVER_SEEN = {"observedGeneration": -1}

NAMES = [
    ("GitRepository", "gitrepositories", ["gitrepo"], SOURCES),
    ("OCIRepository", "ocirepositories", ["ocirepo"], SOURCES),
    ("HelmRepository", "helmrepositories", ["helmrepo"], SOURCES),
    ("HelmChart", "helmcharts", ["hc"], SOURCES),
    ("Bucket", "buckets", [], SOURCES),
    ("ExternalArtifact", "externalartifacts", ["ea"], SOURCES),
    ("ArtifactGenerator", "artifactgenerators", ["ag"], SOURCES),
    ("Kustomization", "kustomizations", ["ks"], APPLIERS),
    ("HelmRelease", "helmreleases", ["hr"], APPLIERS),
    ("Receiver", "receivers", [], NOTIFICATIONS),
    ("Alert", "alerts", [], NOTIFICATIONS),
    ("Provider", "providers", [], NOTIFICATIONS),
]
VERSIONS = {
    "source.toolkit.fluxcd.io/v1": {
        "GitRepository",
        "OCIRepository",
        "HelmRepository",
        "HelmChart",
        "Bucket",
        "ExternalArtifact",
    },
    "source.extensions.fluxcd.io/v1beta1": {"ArtifactGenerator"},
    "kustomize.toolkit.fluxcd.io/v1": {"Kustomization"},
    "helm.toolkit.fluxcd.io/v2": {"HelmRelease"},
    "notification.toolkit.fluxcd.io/v1": {"Receiver"},
    "notification.toolkit.fluxcd.io/v1beta3": {"Alert", "Provider"},
}
PATHS = {
    "Age": ".metadata.creationTimestamp",
    "Ready": '.status.conditions[?(@.type=="Ready")].status',
    "Status": '.status.conditions[?(@.type=="Ready")].message',
    "URL": ".spec.url",
    "Chart": ".spec.chart",
    "Version": ".spec.version",
    "Source Kind": ".spec.sourceRef.kind",
    "Source Name": ".spec.sourceRef.name",
    "Endpoint": ".spec.endpoint",
    "Source": ".spec.sourceRef.name",
}
COLUMNS = {
    "GitRepository": "URL, Age, Ready, Status",
    "HelmRepository": "URL, Age, Ready, Status",
    "OCIRepository": "URL, Ready, Status, Age",
    "HelmChart": "Chart, Version, Source Kind, Source Name, Age, Ready, Status",
    "Bucket": "Endpoint, Age, Ready, Status",
    "ExternalArtifact": "Age, Ready, Status, Source",
    "ArtifactGenerator": "Age, Ready, Status",
    "Kustomization": "Age, Ready, Status",
    "HelmRelease": "Age, Ready, Status",
    "Receiver": "Age, Ready, Status",
    "Alert": "Age",
    "Provider": "Age",
}
DEFAULTS = {
    "GitRepository": {".spec.timeout": "60s", ".spec.verify.mode": "HEAD", ".status": NEVER_SEEN},
    "OCIRepository": {
        ".spec.provider": "generic",
        ".spec.timeout": "60s",
        ".spec.verify.provider": "cosign",
        ".status": NEVER_SEEN,
    },
    "HelmRepository": {".spec.provider": "generic", ".status": NEVER_SEEN},
    "HelmChart": {
        ".spec.version": "*",
        ".spec.reconcileStrategy": "ChartVersion",
        ".spec.verify.provider": "cosign",
        ".status": NEVER_SEEN,
    },
    "Bucket": {".spec.provider": "generic", ".spec.timeout": "60s", ".status": NEVER_SEEN},
    "ExternalArtifact": {},
    "ArtifactGenerator": {},
    "Kustomization": {
        ".spec.force": False,
        ".spec.postBuild.substituteFrom[].optional": False,
        ".status": NEVER_SEEN,
    },
    "HelmRelease": {
        ".spec.chart.spec.version": "*",
        ".spec.chart.spec.reconcileStrategy": "ChartVersion",
        ".spec.chart.spec.verify.provider": "cosign",
        ".spec.uninstall.deletionPropagation": "background",
        ".status": NEVER_SEEN,
    },
    "Alert": {".spec.eventSeverity": "info"},
    "Provider": {},
    "Receiver": {".spec.interval": "10m", ".status": NEVER_SEEN},
}
WITH_HOURS = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
WITHOUT_HOURS = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"


@pytest.mark.parametrize(("kind", "plural", "short_names", "category"), NAMES)
def test_a_kind_has_its_names(
    kind: str, plural: str, short_names: list[str], category: str
) -> None:
    crd = definition_of(kind)["spec"]
    assert crd["scope"] == "Namespaced"
    assert crd["names"]["plural"] == plural
    assert crd["names"]["singular"] == kind.lower()
    assert crd["names"].get("shortNames", []) == short_names
    assert crd["names"]["categories"] == ["all", "fluxcd", category]


def test_a_kind_has_its_one_version() -> None:
    served: dict[str, set[str]] = {}
    for crd in definitions():
        version = version_of(crd)
        assert version["served"]
        assert version["storage"]
        api_version = f"{crd['spec']['group']}/{version['name']}"
        served.setdefault(api_version, set()).add(crd["spec"]["names"]["kind"])
    assert served == VERSIONS


@pytest.mark.parametrize("kind", COLUMNS)
def test_kubectl_shows_the_known_columns(kind: str) -> None:
    columns = version_of(definition_of(kind))["additionalPrinterColumns"]
    assert ", ".join(column["name"] for column in columns) == COLUMNS[kind]
    for column in columns:
        assert column["jsonPath"] == PATHS[column["name"]]
        assert column["type"] == ("date" if column["name"] == "Age" else "string")


@pytest.mark.parametrize("kind", COLUMNS)
def test_kinds_that_are_only_read_have_no_status(kind: str) -> None:
    version = version_of(definition_of(kind))
    assert ("status" in version.get("subresources", {})) == (kind not in {"Alert", "Provider"})


@pytest.mark.parametrize("kind", DEFAULTS)
def test_stored_objects_show_the_known_defaults(kind: str) -> None:
    found = {
        prop.path: prop.schema["default"]
        for prop in properties(schema_of(definition_of(kind)))
        if "default" in prop.schema
    }
    assert found == DEFAULTS[kind]


def test_every_duration_is_held_to_gos_syntax() -> None:
    for crd in definitions():
        for prop in properties(schema_of(crd)):
            if re.search("(interval|timeout)$", prop.name, re.IGNORECASE):
                assert prop.schema["pattern"] in {WITH_HOURS, WITHOUT_HOURS}, prop.path
                assert prop.schema["x-kubernetes-validations"], prop.path


@pytest.mark.parametrize(
    "kind", ["GitRepository", "OCIRepository", "HelmRepository", "Bucket", "Provider"]
)
def test_timeouts_of_what_is_fetched_or_sent_are_below_hours(kind: str) -> None:
    schema = schema_of(definition_of(kind))
    assert schema["properties"]["spec"]["properties"]["timeout"]["pattern"] == WITHOUT_HOURS


def test_definitions_carry_the_labels_that_flux_check_reads() -> None:
    for crd in definitions():
        labels = crd["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "flux"
        assert labels["app.kubernetes.io/instance"] == "flux-system"
        assert re.fullmatch(r"v2\.9\.\d+-penstock", labels["app.kubernetes.io/version"])


def test_variables_in_descriptions_are_never_substituted() -> None:
    for crd in definitions():
        annotations = crd["metadata"]["annotations"]
        assert annotations["kustomize.toolkit.fluxcd.io/substitute"] == "disabled"


def test_kubectl_explain_says_something_of_every_field() -> None:
    silent = [
        f"{crd['spec']['names']['kind']}{prop.path}"
        for crd in definitions()
        for prop in properties(schema_of(crd))
        if prop.path != ".metadata" and not prop.schema.get("description")
    ]
    assert silent == []
