"""What `spec.sourceRef` means."""

from typing import NamedTuple

from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName


class SourceRef(NamedTuple):
    kind: str
    key: NamespacedName

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}"


def source_of(kustomization: Kustomization) -> SourceRef:
    ref = kustomization.spec.source_ref
    namespace = ref.namespace or kustomization.metadata.namespace
    return SourceRef(ref.kind, NamespacedName(namespace, ref.name))
