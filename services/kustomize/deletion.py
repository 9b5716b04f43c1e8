"""What `spec.deletionPolicy` says."""

from shared.resources.kustomize import Kustomization


def deletes(kustomization: Kustomization) -> bool:
    """Whether its objects are deleted with it."""
    spec = kustomization.spec
    if spec.suspend or spec.deletion_policy == "Orphan":
        return False
    mirrors = spec.deletion_policy in (None, "", "MirrorPrune")
    return spec.prune if mirrors else True
