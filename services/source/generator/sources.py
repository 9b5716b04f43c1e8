"""`sources`: which artifacts the aliases stand for at this moment, from watch caches."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from services.source.generator.endings import AccessDenied, SourceMissing, ValidationFailed
from shared.cluster.watch_cache import WatchCache
from shared.resources.meta import Artifact, NamespacedName, Resource
from shared.resources.source import ArtifactGenerator
from shared.resources.source.artifact_generator import AliasedSource

AnySource: TypeAlias = Resource[Any, Any]


class SourceRef(NamedTuple):
    kind: str
    key: NamespacedName

    @classmethod
    def of(cls, source: AliasedSource, generator: ArtifactGenerator) -> "SourceRef":
        namespace = source.namespace or generator.metadata.namespace
        return cls(source.kind, NamespacedName(namespace, source.name))

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}"


class Found(NamedTuple):
    ref: SourceRef
    artifact: Artifact


class Sources:
    """`caches` by kind; a kind that is not in it is not served."""

    def __init__(self, caches: Mapping[str, WatchCache[Any]], *, cross_namespace: bool) -> None:
        self._caches = caches
        self._cross_namespace = cross_namespace

    def artifacts_of(self, generator: ArtifactGenerator) -> dict[str, Found]:
        """By alias; raises AccessDenied, ValidationFailed or SourceMissing."""
        refs = {each.alias: SourceRef.of(each, generator) for each in generator.spec.sources}
        for ref in refs.values():
            self._require_access(ref, generator)
        return {alias: Found(ref, self._artifact(ref)) for alias, ref in refs.items()}

    def _require_access(self, ref: SourceRef, generator: ArtifactGenerator) -> None:
        if not self._cross_namespace and ref.key.namespace != generator.metadata.namespace:
            raise AccessDenied(
                f"can't access '{ref}', cross-namespace references have been blocked"
            )
        if ref.kind not in self._caches:
            raise ValidationFailed(
                f"spec.sources: {ref.kind} is not served by this version of Penstock; "
                f"use one of {', '.join(self._caches)}"
            )

    def _artifact(self, ref: SourceRef) -> Artifact:
        source: AnySource | None = self._caches[ref.kind].get(ref.key)
        if source is None:
            raise SourceMissing(f"source '{ref}' not found")
        artifact: Artifact | None = source.status.artifact
        if artifact is None:
            raise SourceMissing(f"source '{ref}' has no artifact")
        return artifact


def sources_digest(sources: Mapping[str, Found]) -> str:
    """For `status.observedSourcesDigest`; the order of the sources does not matter."""
    entries = sorted(
        f"{alias}=[digest={found.digest},revision={found.revision},url={found.url}]"
        for alias, (_, found) in sources.items()
    )
    return f"sha256:{hashlib.sha256('|'.join(entries).encode()).hexdigest()}"


def users_of(
    generators: WatchCache[ArtifactGenerator],
) -> Callable[[AnySource | None, AnySource | None], Iterable[NamespacedName]]:
    """Whom a source's change concerns: who has an alias for it, when its artifact is another."""

    def affected(before: AnySource | None, after: AnySource | None) -> Iterable[NamespacedName]:
        changed = after or before
        if changed is None or _content(before) == _content(after):
            return []
        ref = SourceRef(changed.kind, changed.key)
        return [
            generator.key
            for generator in generators.values()
            if any(SourceRef.of(source, generator) == ref for source in generator.spec.sources)
        ]

    return affected


def _content(source: AnySource | None) -> tuple[str, str, str] | None:
    artifact: Artifact | None = source.status.artifact if source else None
    return (artifact.revision, artifact.digest, artifact.url) if artifact else None
