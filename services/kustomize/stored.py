"""What a Kustomization's status says of the cluster."""

import json
from collections.abc import Iterable

from shared.cluster.inventory import Inventory
from shared.cluster.objects import Gvk
from shared.conditions import READY, is_true
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization

# etcd takes 1.5 MiB; spec, conditions, history and the record of who set what need the rest.
INVENTORY_LIMIT = 1_400_000


def stored_inventory(kustomization: Kustomization) -> Inventory:
    entries = kustomization.status.inventory.entries if kustomization.status.inventory else ()
    return Inventory.stored((entry.id, entry.v) for entry in entries)


def kinds_kept(kustomizations: Iterable[Kustomization]) -> set[Gvk]:
    """Every kind that some inventory names."""
    return {ref.gvk for each in kustomizations for ref in stored_inventory(each).refs()}


def is_settled_at(kustomization: Kustomization, revision: str) -> bool:
    status = kustomization.status
    return status.last_applied_revision == revision and is_true(status.conditions, READY)


def require_storable(claimed: Inventory, planned: Inventory) -> None:
    """Raises Failed before anything is written that could not be kept on record."""
    size = len(json.dumps(claimed.to_status(), separators=(",", ":")))
    if size > INVENTORY_LIMIT:
        replaced = len(claimed) - len(planned)
        also = f" with the {replaced} that they replace" if replaced else ""
        raise Failed(
            f"the inventory of {len(planned)} objects{also} takes {size} bytes, and the status of "
            f"a Kustomization can hold {INVENTORY_LIMIT}; nothing was applied: divide the objects "
            f"among several Kustomizations{', or replace them in several commits' if also else ''}"
        )
