"""What a HelmRelease's release, its records and its HelmChart are called.

Other tools (the helm CLI, Flux, dashboards) find them by these names, so none of them may change.
"""

import hashlib
from typing import NamedTuple

from shared.resources.helm import HelmRelease
from shared.resources.meta import NamespacedName

FIELD_MANAGER = "helm-controller"
ORIGIN_NAME = "helm.toolkit.fluxcd.io/name"
ORIGIN_NAMESPACE = "helm.toolkit.fluxcd.io/namespace"

# Helm refuses longer release names: 63 characters of a label less ten for what charts append.
RELEASE_NAME_LIMIT = 53
_KEPT, _HASHED = 40, 12


class ReleaseIdentity(NamedTuple):
    """Which release this is, for Helm: its name, where its objects go, where its records are."""

    name: str
    namespace: str
    storage_namespace: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def identity_of(release: HelmRelease) -> ReleaseIdentity:
    own = release.metadata.namespace
    return ReleaseIdentity(
        release_name(release),
        release.spec.target_namespace or own,
        release.spec.storage_namespace or own,
    )


def release_name(release: HelmRelease) -> str:
    spec = release.spec
    prefix = f"{spec.target_namespace}-" if spec.target_namespace else ""
    return _shortened(spec.release_name or prefix + release.metadata.name)


def secret_name(release: str, version: int) -> str:
    return f"sh.helm.release.v1.{release}.v{version}"


def chart_key(release: HelmRelease) -> NamespacedName | None:
    """Where the HelmChart made from `spec.chart` is: beside its source."""
    template = release.spec.chart
    if template is None:
        return None
    own = release.metadata
    return NamespacedName(
        template.spec.source_ref.namespace or own.namespace, f"{own.namespace}-{own.name}"
    )


def origin_labels(key: NamespacedName) -> dict[str, str]:
    """On every object that comes from the HelmRelease: its HelmChart, CRDs, rendered objects."""
    return {ORIGIN_NAME: key.name, ORIGIN_NAMESPACE: key.namespace}


def origin_of(labels: dict[str, str]) -> NamespacedName | None:
    """The HelmRelease that an object with these labels comes from."""
    if ORIGIN_NAME in labels and ORIGIN_NAMESPACE in labels:
        return NamespacedName(labels[ORIGIN_NAMESPACE], labels[ORIGIN_NAME])
    return None


def _shortened(name: str) -> str:
    if len(name) <= RELEASE_NAME_LIMIT:
        return name
    return f"{name[:_KEPT]}-{hashlib.sha256(name.encode()).hexdigest()[:_HASHED]}"
