"""Rendered objects on their way to the cluster: in their namespace, marked as Helm's.

The marks (a label, two annotations) are how the helm CLI knows whose an object is. They are put on
what is applied, not on the stored manifest, as Helm does.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from services.helm.names import ReleaseIdentity
from shared import documents
from shared.cluster.client import Cluster
from shared.cluster.errors import UnknownKind
from shared.cluster.objects import Gvk, Manifest
from shared.cluster.wanted import NotAnObject
from shared.outcomes import Failed

MANAGED_BY = "app.kubernetes.io/managed-by"
RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
RESOURCE_POLICY = "helm.sh/resource-policy"


class UnreadableManifest(Failed):
    reason = "StateError"


class Placed:
    """Puts objects where they belong: the release's namespace, unless they say or need another."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self._namespace = namespace

    async def all(self, objects: Iterable[Manifest]) -> list[Manifest]:
        """Raises UnknownKind for a kind that neither the cluster nor these objects define."""
        found = list(_flat(objects))
        scopes = dict(_defined_scopes(found))
        return [self._placed(each, await self._scope(_gvk(each), scopes)) for each in found]

    async def old(self, objects: Iterable[Manifest]) -> list[Manifest]:
        """The same for what an older version had; its API version may be gone by now."""
        return [
            self._placed(each, await self._was_namespaced(_gvk(each))) for each in _flat(objects)
        ]

    async def _scope(self, gvk: Gvk, defined: dict[Gvk, bool]) -> bool:
        return defined[gvk] if gvk in defined else await self._is_namespaced(gvk)

    async def _is_namespaced(self, gvk: Gvk) -> bool:
        return (await self.cluster.resource_of(gvk)).namespaced

    async def _was_namespaced(self, gvk: Gvk) -> bool:
        try:
            return await self._is_namespaced(gvk)
        except UnknownKind:
            served = self.cluster.discovery.version_of(gvk.group, gvk.kind)
            return served is None or await self._is_namespaced(served)

    def _placed(self, manifest: Manifest, is_namespaced: bool) -> Manifest:
        metadata = dict(manifest["metadata"])
        if is_namespaced:
            metadata["namespace"] = metadata.get("namespace") or self._namespace
        else:
            metadata.pop("namespace", None)
        return {**manifest, "metadata": metadata}


def marked(manifest: Manifest, identity: ReleaseIdentity) -> Manifest:
    """As an object of the release."""
    return with_metadata(
        manifest,
        labels={MANAGED_BY: "Helm"},
        annotations={RELEASE_NAME: identity.name, RELEASE_NAMESPACE: identity.namespace},
    )


def with_metadata(
    manifest: Manifest, *, labels: dict[str, str], annotations: dict[str, str]
) -> Manifest:
    metadata = dict(manifest["metadata"])
    if labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    if annotations:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    return {**manifest, "metadata": metadata}


def is_kept(manifest: Manifest) -> bool:
    """Whether Helm leaves the object in the cluster when its release lets go of it."""
    annotations = manifest["metadata"].get("annotations") or {}
    return str(annotations.get(RESOURCE_POLICY, "")).strip().lower() == "keep"


def read(manifest: str, what: str) -> list[Manifest]:
    """The objects of a stored manifest; raises UnreadableManifest."""
    try:
        return [each for each in documents.load_all(manifest) if each]
    except documents.DocumentError as error:
        raise UnreadableManifest(f"the stored manifest of {what} is not YAML: {error}") from error


def _gvk(manifest: Manifest) -> Gvk:
    return Gvk(manifest["apiVersion"], manifest["kind"])


def _flat(objects: Iterable[Any]) -> Iterator[Manifest]:
    """With the items of Lists instead of the Lists; raises NotAnObject."""
    for manifest in objects:
        items = manifest.get("items") if isinstance(manifest, dict) else None
        if isinstance(items, list) and str(manifest.get("kind", "")).endswith("List"):
            yield from _flat(items)
        else:
            _require_object(manifest)
            yield manifest


def _require_object(manifest: Any) -> None:
    """What charts render, and what is stored, can have any shape."""
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    if not isinstance(metadata, dict):
        raise NotAnObject("a document among the manifests has no metadata")
    texts = [manifest.get("apiVersion"), manifest.get("kind"), metadata.get("name")]
    if not all(isinstance(text, str) and text for text in texts):
        raise NotAnObject(
            f"{manifest.get('kind')}/{metadata.get('name')} among the manifests is no object that "
            "a release can keep: it needs apiVersion, kind and metadata.name"
        )
    for part in ("labels", "annotations"):
        if not isinstance(metadata.get(part) or {}, dict):
            raise NotAnObject(f"{texts[1]}/{texts[2]}: metadata.{part} must be a mapping")


def _defined_scopes(objects: Iterable[Manifest]) -> Iterator[tuple[Gvk, bool]]:
    """Whether the kinds that these objects define are namespaced."""
    for manifest in objects:
        if manifest.get("kind") == "CustomResourceDefinition":
            with suppress(AttributeError, KeyError, TypeError):  # the API server will refuse it
                spec = manifest["spec"]
                for version in spec["versions"]:
                    gvk = Gvk(f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    yield gvk, spec.get("scope") == "Namespaced"
