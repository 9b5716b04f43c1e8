"""The ExternalArtifacts that a generator owns: applied when they differ, deleted when orphaned.

An object of the same name that belongs to somebody else is left alone: whoever may write an
ArtifactGenerator may not for that reason take over what a Kustomization elsewhere applies.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services.source.generator.endings import BuildFailed
from services.source.generator.outputs import Output
from services.source.storage import Owner, Storage
from shared.clock import Now, now
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.watch_cache import WatchCache
from shared.conditions import READY
from shared.outcomes import ConditionMark
from shared.resources.meta import NamespacedName
from shared.resources.source import ArtifactGenerator, ExternalArtifact
from shared.resources.transforms import CommonMetadata
from shared.status import status_patch

MANAGER = "source-watcher"
MANAGED_BY = {"app.kubernetes.io/managed-by": MANAGER}
GENERATOR = "source.extensions.fluxcd.io/generator"
_READY = {READY: ConditionMark("True", "Succeeded", "Artifact is ready")}


def storage_owner(key: NamespacedName) -> Owner:
    return Owner(ExternalArtifact.kind.lower(), *key)


def is_owned(external: ExternalArtifact, generator: ArtifactGenerator) -> bool:
    ref = external.spec.source_ref
    namespace = external.metadata.namespace
    return (
        ref is not None
        and ref.kind == ArtifactGenerator.kind
        and (ref.api_version or "").partition("/")[0] == ArtifactGenerator.group_kind().group
        and NamespacedName(ref.namespace or namespace, ref.name) == generator.key
    )


def owner_of(
    before: ExternalArtifact | None, after: ExternalArtifact | None
) -> Iterable[NamespacedName]:
    """Whom the change of an output concerns: the generator that made it, unless it is new."""
    if before is None or (after is not None and before.status.artifact == after.status.artifact):
        return []
    ref = before.spec.source_ref
    if ref is None or ref.kind != ArtifactGenerator.kind:
        return []
    return [NamespacedName(ref.namespace or before.metadata.namespace, ref.name)]


class ExternalArtifacts:
    def __init__(
        self,
        cluster: Cluster,
        cache: WatchCache[ExternalArtifact],
        storage: Storage,
        now: Now = now,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._storage = storage
        self._now = now

    def get(self, key: NamespacedName) -> ExternalArtifact | None:
        return self._cache.get(key)

    def owned_by(self, generator: ArtifactGenerator) -> set[str]:
        """Names, as far as the cache knows."""
        namespace = generator.metadata.namespace
        return {
            external.metadata.name
            for external in self._cache.values()
            if external.metadata.namespace == namespace and is_owned(external, generator)
        }

    def require_free(self, generator: ArtifactGenerator, names: Iterable[str]) -> None:
        for name in names:
            key = NamespacedName(generator.metadata.namespace, name)
            there = self._cache.get(key)
            if there is not None and not is_owned(there, generator):
                ref = there.spec.source_ref
                owner = f"{ref.kind} {ref.namespace or key.namespace}/{ref.name}" if ref else ""
                raise BuildFailed(
                    f"ExternalArtifact {key} belongs to {owner or 'somebody else'}; "
                    "choose another name, or delete it"
                )

    async def publish(
        self, generator: ArtifactGenerator, output: Output, artifact: dict[str, Any]
    ) -> bool:
        """Whether anything about it is new."""
        key = NamespacedName(generator.metadata.namespace, output.name)
        wanted = _manifest(generator, output)
        external = self._cache.get(key)
        applies = external is None or _differs(external, wanted["metadata"])
        if external is None or applies:
            answer = await self._cluster.apply(wanted, manager=MANAGER, force=True)
            external = ExternalArtifact.from_object(answer)
            self._cache.observe(external)
        patch = status_patch(external, {"artifact": _kept(external, artifact)}, _READY, self._now)
        if patch is not None:
            self._cache.observe(
                await self._cluster.patch_status(ExternalArtifact, key, patch, manager=MANAGER)
            )
        return applies or patch is not None

    async def withdraw(self, generator: ArtifactGenerator, name: str) -> None:
        """Object first: nobody may be told of a file that is gone."""
        key = NamespacedName(generator.metadata.namespace, name)
        external = await self._cluster.get(ExternalArtifact, key)
        if external is not None:
            if not is_owned(external, generator):
                return
            ref = ObjectRef(ExternalArtifact.api_version, ExternalArtifact.kind, *key)
            await self._cluster.delete(ref, uid=external.metadata.uid)
        await self._storage.remove(storage_owner(key))


def _manifest(generator: ArtifactGenerator, output: Output) -> Manifest:
    common = generator.spec.common_metadata or CommonMetadata()
    labels = {
        **common.labels,
        **output.labels,
        **MANAGED_BY,
        GENERATOR: generator.metadata.uid,
    }
    metadata: dict[str, Any] = {
        "name": output.name,
        "namespace": generator.metadata.namespace,
        "labels": labels,
    }
    if common.annotations:
        metadata["annotations"] = common.annotations
    source = {
        "apiVersion": generator.api_version,
        "kind": generator.kind,
        "name": generator.metadata.name,
        "namespace": generator.metadata.namespace,
    }
    return {
        "apiVersion": ExternalArtifact.api_version,
        "kind": ExternalArtifact.kind,
        "metadata": metadata,
        "spec": {"sourceRef": source},
    }


def _differs(external: ExternalArtifact, wanted: Mapping[str, Any]) -> bool:
    """Also when there is more than wanted: it may be what an earlier spec asked for."""
    found = external.metadata
    return (found.labels, found.annotations) != (wanted["labels"], wanted.get("annotations", {}))


def _kept(external: ExternalArtifact, artifact: dict[str, Any]) -> dict[str, Any]:
    """The same artifact keeps the time at which it was made."""
    there = external.status.artifact
    if there is None or (there.digest, there.revision) != (
        artifact["digest"],
        artifact["revision"],
    ):
        return artifact
    return artifact | {"lastUpdateTime": there.last_update_time}
