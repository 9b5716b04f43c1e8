"""Whose an object in the cluster is, before it is taken or deleted.

A release's objects are known by its records. Before one is deleted, the live object is asked too:
one that has become another release's, or a Kustomization's, is theirs to keep; one that says
`helm.sh/resource-policy: keep` stays. Objects that Helm made before us carry no labels of ours, so
labels alone do not decide.
"""

from collections.abc import Iterable

from services.helm.manifests import MANAGED_BY, RELEASE_NAME, RELEASE_NAMESPACE, is_kept
from services.helm.names import ReleaseIdentity
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest
from shared.cluster.ownership import HELM_GROUP, KUSTOMIZE_GROUP, Ownership
from shared.cluster.prune import MayDelete
from shared.cluster.wanted import Wanted
from shared.outcomes import Failed
from shared.resources.meta import NamespacedName


def deletable_by(identity: ReleaseIdentity, owner: NamespacedName) -> MayDelete:
    """What the release may delete when it lets go of it; `owner` is its HelmRelease."""

    def may_delete(live: Manifest) -> bool:
        labels, annotations = _labels_and_annotations(live)
        release = (annotations.get(RELEASE_NAME), annotations.get(RELEASE_NAMESPACE))
        return (
            not is_kept(live)
            and release in {(None, None), (identity.name, identity.namespace)}
            and Ownership(HELM_GROUP).owner_in(labels) in {None, owner}
            and Ownership(KUSTOMIZE_GROUP).owner_in(labels) is None
        )

    return may_delete


async def require_ownership(
    cluster: Cluster, identity: ReleaseIdentity, wanted: Iterable[Wanted]
) -> None:
    """For releases that must not take over what is there; raises Failed as Helm does."""
    for each in wanted:
        live = await cluster.read(each.ref)
        if live is not None and not _is_of(live, identity):
            raise Failed(
                f"{each.ref} exists and cannot be imported into the current release: its label "
                f"{MANAGED_BY} and annotations {RELEASE_NAME} and {RELEASE_NAMESPACE} do not say "
                f"that it is release {identity}'s; set them, or allow taking ownership"
            )


def _is_of(live: Manifest, identity: ReleaseIdentity) -> bool:
    labels, annotations = _labels_and_annotations(live)
    return (
        labels.get(MANAGED_BY),
        annotations.get(RELEASE_NAME),
        annotations.get(RELEASE_NAMESPACE),
    ) == ("Helm", identity.name, identity.namespace)


def _labels_and_annotations(live: Manifest) -> tuple[dict[str, str], dict[str, str]]:
    metadata = live["metadata"]
    return metadata.get("labels") or {}, metadata.get("annotations") or {}
