"""What events say of changes: a line per object, `<Kind>/<namespace>/<name> configured`."""

from shared.cluster.changes import ChangeSet
from shared.cluster.inventory import ObjectId
from shared.cluster.order import sort_key
from shared.cluster.prune import Pruned


def changes_told(changes: ChangeSet) -> str:
    return "\n".join(map(str, changes.different))


def drift_told(changes: ChangeSet) -> dict[str, str]:
    """Metadata: what somebody else had changed, and who."""
    told = "; ".join(map(str, changes.drift))
    return {"drift": told} if told else {}


def deletions(pruned: Pruned) -> str:
    """In the order of deletion: the reverse of apply order."""
    order = sorted(pruned.deleted, key=lambda ref: sort_key(ObjectId.of(ref)), reverse=True)
    return "\n".join(f"{ref} deleted" for ref in order)
