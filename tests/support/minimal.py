"""The least that each kind's schema accepts, to vary from."""

from typing import Any

from shared.resources.registry import kind_of

INTERVAL = {"interval": "1m"}
REF = {"name": "other"}
SPECS: dict[str, dict[str, Any]] = {
    "GitRepository": {"url": "https://git.example.com/shop.git", **INTERVAL},
    "OCIRepository": {"url": "oci://registry.example.com/shop", **INTERVAL},
    "HelmRepository": {"url": "https://charts.example.com"},
    "HelmChart": {
        "chart": "shop",
        "sourceRef": {"kind": "HelmRepository", "name": "charts"},
        **INTERVAL,
    },
    "Bucket": {"bucketName": "shop", "endpoint": "s3.example.com", **INTERVAL},
    "ExternalArtifact": {"sourceRef": {"kind": "ArtifactGenerator", "name": "parts"}},
    "ArtifactGenerator": {
        "sources": [{"alias": "git", "kind": "GitRepository", "name": "shop"}],
        "artifacts": [{"name": "shop", "copy": [{"from": "@git/**", "to": "@artifact/"}]}],
    },
    "Kustomization": {
        "sourceRef": {"kind": "GitRepository", "name": "shop"},
        "prune": True,
        **INTERVAL,
    },
    "HelmRelease": {"chartRef": {"kind": "OCIRepository", "name": "shop"}, **INTERVAL},
    "Alert": {
        "providerRef": {"name": "chat"},
        "eventSources": [{"kind": "Kustomization", "name": "*"}],
    },
    "Provider": {"type": "slack"},
    "Receiver": {
        "type": "github",
        "secretRef": {"name": "token"},
        "resources": [{"kind": "GitRepository", "name": "shop"}],
    },
}


def minimal(kind: str, namespace: str, name: str = "shop", **changes: Any) -> dict[str, Any]:
    """An object; `changes` are fields of its spec, None removes one."""
    model = kind_of(kind)
    assert model is not None
    spec = {
        field: value for field, value in {**SPECS[kind], **changes}.items() if value is not None
    }
    return {
        "apiVersion": model.api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
