"""ConfigMaps and Secrets that ask for it wake the Kustomizations that take variables from them."""

from collections.abc import Iterable

from services.kustomize.referrers import Referrers
from shared.cluster.objects import Gvk, Manifest, ObjectRef, ref_of
from shared.cluster.watch_cache import WatchCache
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

CONFIGURATION = (Gvk("v1", "ConfigMap"), Gvk("v1", "Secret"))


class WatchedConfiguration:
    def __init__(self, kustomizations: WatchCache[Kustomization]) -> None:
        self._referrers = Referrers(kustomizations, _references)

    def affected(self, before: Manifest | None, after: Manifest | None) -> Iterable[NamespacedName]:
        changed = after or before
        return self._referrers.of(ref_of(changed)) if changed else ()


def _references(kustomization: Kustomization) -> list[ObjectRef]:
    post_build = kustomization.spec.post_build
    namespace = kustomization.metadata.namespace
    return [
        ObjectRef("v1", each.kind, namespace, each.name)
        for each in (post_build.substitute_from if post_build else ())
    ]
