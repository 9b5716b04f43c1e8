"""The artifact of a Kustomization's source, from watch caches: no request, and always current."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from services.kustomize.dependency_order import in_dependency_order
from services.kustomize.referrers import Referrers
from services.kustomize.source_ref import SourceRef, source_of
from shared.cluster.watch_cache import WatchCache
from shared.durations import format_duration, parse_duration
from shared.outcomes import Stalled, Waiting
from shared.pace import STEADY
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, NamespacedName, Resource

ORIGIN_REVISION = "org.opencontainers.image.revision"


class SourceNotReady(Waiting):
    reason = "ArtifactFailed"


class AccessDenied(Stalled):
    reason = "AccessDenied"


def origin_revision(artifact: Artifact) -> str | None:
    return artifact.metadata.get(ORIGIN_REVISION)


class Sources:
    """`caches` by kind; a kind that is not in it is not served."""

    def __init__(
        self,
        caches: Mapping[str, WatchCache[Any]],
        kustomizations: WatchCache[Kustomization],
        *,
        no_cross_namespace: bool = False,
        requeue: timedelta = STEADY.waiting,
    ) -> None:
        self._caches = caches
        self._kustomizations = kustomizations
        self._no_cross_namespace = no_cross_namespace
        self._requeue = format_duration(requeue)
        self._referrers = Referrers(kustomizations, lambda each: [source_of(each)])

    def artifact_of(self, kustomization: Kustomization) -> Artifact:
        """Raises SourceNotReady or AccessDenied."""
        ref = source_of(kustomization)
        if self._no_cross_namespace and ref.key.namespace != kustomization.metadata.namespace:
            raise AccessDenied(
                f"can't access '{ref}', cross-namespace references have been blocked"
            )
        cache = self._caches.get(ref.kind)
        if cache is None:
            raise Stalled(
                f"spec.sourceRef.kind: {ref.kind} is not served by this version of Penstock; "
                f"use one of {', '.join(self._caches)}",
                reason="UnsupportedField",
            )
        source = cache.get(ref.key)
        if source is None:
            raise SourceNotReady(f"source '{ref}' not found", retry_after=retry_of(kustomization))
        artifact: Artifact | None = source.status.artifact
        if artifact is None:
            raise SourceNotReady(f"Source artifact not found, retrying in {self._requeue}")
        return artifact

    def referrers_of(self, kustomization: Kustomization) -> frozenset[NamespacedName]:
        """All that use the same source."""
        return self._referrers.of(source_of(kustomization))

    def affected(
        self, before: Resource[Any, Any] | None, after: Resource[Any, Any] | None
    ) -> Iterable[NamespacedName]:
        """Whom a change of a source concerns: dependencies before those who depend on them."""
        if after is None or _artifact_id(before) == _artifact_id(after):
            return ()
        affected = self._referrers.of(SourceRef(after.kind, after.key))
        return in_dependency_order(affected, self._kustomizations)


def _artifact_id(source: Resource[Any, Any] | None) -> tuple[str, str] | None:
    artifact = source.status.artifact if source else None
    return (artifact.revision, artifact.digest) if artifact else None


def retry_of(kustomization: Kustomization) -> timedelta:
    spec = kustomization.spec
    return parse_duration(spec.retry_interval or spec.interval)
