"""An empty build never empties the cluster by surprise."""

from services.kustomize.annotations import PRUNE_ALL
from services.kustomize.plan import Plan
from shared.cluster.inventory import Inventory
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization


class WouldDeleteEverything(Failed):
    reason = "PruneFailed"


def refuse_to_delete_everything(
    kustomization: Kustomization, plan: Plan, doomed: Inventory
) -> None:
    """A path that lost its objects is a mistake more often than a wish: somebody has to say so."""
    allowed = kustomization.metadata.annotations.get(PRUNE_ALL, "").lower() == "enabled"
    if doomed and not plan.wanted and not allowed:
        raise WouldDeleteEverything(
            f"the build holds no objects any more, and all that was applied would be deleted; if "
            f"that is meant, annotate Kustomization {kustomization.key} with {PRUNE_ALL}=enabled, "
            f"or delete it"
        )
