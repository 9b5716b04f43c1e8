"""Names for objects of any kind: what a request path, an inventory entry and a message need."""

from typing import Any, NamedTuple, TypeAlias

from shared.resources.meta import NamespacedName

Manifest: TypeAlias = dict[str, Any]  # a foreign object as JSON: its schema is not ours to know


class Gvk(NamedTuple):
    api_version: str
    kind: str

    @property
    def group(self) -> str:
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]


class ObjectRef(NamedTuple):
    """One object of any kind; namespace is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def gvk(self) -> Gvk:
        return Gvk(self.api_version, self.kind)

    @property
    def group(self) -> str:
        return self.gvk.group

    @property
    def key(self) -> NamespacedName:
        return NamespacedName(self.namespace, self.name)

    def __str__(self) -> str:
        """`Deployment/shop/web`, or `Namespace/shop` for a cluster-scoped kind."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


def ref_of(manifest: Manifest) -> ObjectRef:
    """Raises KeyError for a document that is not a Kubernetes object."""
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"],
        manifest["kind"],
        metadata.get("namespace") or "",
        metadata["name"],
    )
