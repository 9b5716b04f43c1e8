"""HelmReleases as a team would write them; a test states only what it is about."""

from typing import Any

from shared.resources.helm import HelmRelease


def a_helm_release(
    name: str = "shop",
    namespace: str = "team-a",
    *,
    generation: int = 1,
    annotations: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> HelmRelease:
    return HelmRelease.from_object(
        helm_release_manifest(name, namespace, **spec)
        | {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "generation": generation,
                "annotations": annotations or {},
            },
            "status": status or {"observedGeneration": -1},
        }
    )


def helm_release_manifest(
    name: str = "shop", namespace: str = "team-a", **spec: Any
) -> dict[str, Any]:
    chart = {"spec": {"chart": name, "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"interval": "10m", "chart": chart, **spec},
    }


def a_stored_release(
    version: int = 1,
    status: str = "deployed",
    *,
    name: str = "shop",
    namespace: str = "team-a",
    config: dict[str, Any] | None = None,
    manifest: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Helm's JSON for one version of a release."""
    return {
        "name": name,
        "namespace": namespace,
        "version": version,
        "info": {
            "status": status,
            "description": "",
            "first_deployed": "2026-01-02T03:04:05.123456789Z",
            "last_deployed": "2026-01-02T03:04:06.5Z",
        },
        "chart": {"metadata": {"name": name, "version": "1.0.0", "apiVersion": "v2"}},
        "config": config or {},
        "manifest": manifest,
        **more,
    }
