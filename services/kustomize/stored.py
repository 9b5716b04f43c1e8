"""What a Kustomization's status says of the cluster."""

from collections.abc import Iterable

from shared.cluster.inventory import Inventory
from shared.cluster.objects import Gvk
from shared.conditions import READY, is_true
from shared.resources.kustomize import Kustomization


def stored_inventory(kustomization: Kustomization) -> Inventory:
    entries = kustomization.status.inventory.entries if kustomization.status.inventory else ()
    return Inventory.stored((entry.id, entry.v) for entry in entries)


def kinds_kept(kustomizations: Iterable[Kustomization]) -> set[Gvk]:
    """Every kind that some inventory names."""
    return {ref.gvk for each in kustomizations for ref in stored_inventory(each).refs()}


def is_settled_at(kustomization: Kustomization, revision: str) -> bool:
    status = kustomization.status
    return status.last_applied_revision == revision and is_true(status.conditions, READY)
