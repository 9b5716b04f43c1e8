"""Which releases a change concerns, so that they are looked at when it happens."""

from collections.abc import Callable, Iterable

from services.helm.dependencies import Releases, dependents_of, newly_ready
from services.helm.names import origin_of
from shared.cluster.objects import Manifest
from shared.dependencies import is_reannotated
from shared.resources.helm import HelmRelease
from shared.resources.meta import NamespacedName
from shared.resources.source import HelmChart


def of_chart(before: HelmChart | None, after: HelmChart | None) -> Iterable[NamespacedName]:
    """The release that keeps the HelmChart, when there is something new for it."""
    chart = after or before
    owner = origin_of(chart.metadata.labels) if chart else None
    news = before is None or after is None or before.status != after.status
    return [owner] if owner and news else []


def of_configuration(
    releases: Releases,
) -> Callable[[Manifest | None, Manifest | None], Iterable[NamespacedName]]:
    """Releases with values from a Secret or ConfigMap."""

    def affected(before: Manifest | None, after: Manifest | None) -> Iterable[NamespacedName]:
        manifest = after or before or {}
        metadata = manifest["metadata"]
        return [
            release.key
            for release in releases.values()
            if release.metadata.namespace == metadata["namespace"]
            and any(
                (each.kind, each.name) == (manifest["kind"], metadata["name"])
                for each in release.spec.values_from
            )
        ]

    return affected


def waiting_for(
    releases: Releases,
) -> Callable[[HelmRelease | None, HelmRelease | None], Iterable[NamespacedName]]:
    """Releases that depend on one that has just become ready, and one that now needs others."""

    def affected(before: HelmRelease | None, after: HelmRelease | None) -> Iterable[NamespacedName]:
        ready = after is not None and newly_ready(before, after)
        if after is not None and is_reannotated(before, after):
            return [after.key]
        return dependents_of(after.key, releases) if after is not None and ready else []

    return affected
