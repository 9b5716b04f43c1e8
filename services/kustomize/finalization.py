"""What is left behind when a Kustomization is deleted: by `spec.deletionPolicy`, usually nothing.

Kept objects are kept on purpose only: when the policy says so, while suspended, or when the account
that may delete them is gone. Every other failure keeps the finalizer, and is tried again; a run
that was killed half-way finds what is left in the inventory.
"""

from dataclasses import dataclass

from services.kustomize.attempt import timeout_of
from services.kustomize.deletion import deletes
from services.kustomize.handover import Handover
from services.kustomize.identity import identity_of, is_missing
from services.kustomize.stored import stored_inventory
from services.kustomize.telling import deletions
from shared.cluster.apply_engine import ApplyEngine
from shared.cluster.client import Cluster
from shared.cluster.inventory import Inventory
from shared.cluster.prune import Pruned, gone
from shared.conditions import PROGRESSING
from shared.durations import InvalidDurationError
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization
from shared.run import Run

PRUNE_FAILED = "PruneFailed"


@dataclass(frozen=True)
class Finalization:
    cluster: Cluster
    objects: ApplyEngine
    handover: Handover

    async def finish(self, kustomization: Kustomization, run: Run) -> None:
        """Raises Failed when something could not be deleted."""
        inventory = stored_inventory(kustomization)
        self.objects.applier.forget(kustomization.key, inventory)
        if not (inventory and deletes(kustomization)):
            return
        if await is_missing(kustomization, self.cluster):
            kept = ", ".join(map(str, inventory))
            run.event("error", PRUNE_FAILED, f"unable to prune objects: {kept}")
            return
        cluster = identity_of(kustomization, self.cluster)
        inventory -= await self.handover.wanted_by_others(kustomization, inventory)
        pruned = await self._delete(kustomization, cluster, inventory, run)
        if kustomization.spec.deletion_policy == "WaitForTermination":
            await _until_gone(kustomization, cluster, pruned, run)

    async def _delete(
        self, kustomization: Kustomization, cluster: Cluster, inventory: Inventory, run: Run
    ) -> Pruned:
        pruned = await self.objects.pruner(cluster, kustomization.key).prune(inventory)
        if pruned.deleted:
            run.event("info", PROGRESSING, deletions(pruned))
        if pruned.survivors:
            run.event("error", PRUNE_FAILED, "pruning for deleted resource failed")
            run.note(status={"inventory": pruned.surviving.to_status()})
            pruned.raise_for_survivors()
        return pruned


async def _until_gone(
    kustomization: Kustomization, cluster: Cluster, pruned: Pruned, run: Run
) -> None:
    """A time limit, not a condition: what takes longer is left to end by itself."""
    try:
        within = timeout_of(kustomization).total_seconds()
        async with run.idle():
            await gone(cluster, pruned.deleted, within)
    except (Failed, InvalidDurationError) as error:
        run.event("error", PRUNE_FAILED, f"failed to wait for resources termination: {error}")
