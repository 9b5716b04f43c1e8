"""Deletes objects that a release has no more: after an upgrade, or when it is uninstalled."""

from services.helm.ownership import deletable_by
from services.helm.subject import Subject
from shared.cluster.inventory import Inventory
from shared.cluster.objects import ObjectRef
from shared.cluster.prune import Pruner


async def let_go(
    subject: Subject, stale: Inventory, propagation: str = "Background"
) -> dict[ObjectRef, str]:
    """What is on its way out, with uids; raises Failed with what could not be deleted."""
    subject.tools.objects.applier.forget(subject.release.key, stale)
    may_delete = deletable_by(subject.identity, subject.release.key)
    pruned = await Pruner(subject.cluster, may_delete, propagation).prune(stale)
    pruned.raise_for_survivors()
    return pruned.deleted
